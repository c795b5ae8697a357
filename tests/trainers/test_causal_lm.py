"""The short training pass: loss and gradients are those of transformers' own classes on the same batch."""

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset

from tokenization.characters import BOS_ID, EOS_ID, PAD_ID, VOCABULARY
from trainers.contract import IGNORE
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.text import TextRows

STOCK = {"qwen2": transformers.Qwen2ForCausalLM, "llama": transformers.LlamaForCausalLM}
TEXTS = [
    ("loc(c_1)=", "3"),
    ("loc(c_12)=", "1379,1958"),
    ("loc(c_5074)=", "0,0"),
    ("loc(c_507)=", "12,1800"),
    ("loc(c_4000)=", "3599,1799"),  # the longest row and the longest prompt
    ("loc(c_4001)=", "9"),  # the longest prompt with a short answer: its window ends behind the row
]


def rows(texts=TEXTS, **options):
    prompts, answers = zip(*texts, strict=True)
    return TextRows("train", Dataset.from_dict({"prompt": prompts, "answer": answers}), **options)


def models(kind, **sizes):
    """A model of this project and one of transformers with the same weights, all of them away from their start."""
    torch.manual_seed(0)
    options = DecoderOptions(model_type=kind, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, **sizes)
    own = build_decoder(
        options, len(VOCABULARY), 64, {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    )
    with torch.no_grad():
        for weight in own.parameters():
            weight += 0.3 * torch.randn_like(weight)
    stock = STOCK[kind](own.config)
    stock.load_state_dict(own.state_dict())
    return own, stock


def loss_and_gradients(model, batch):
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    return output.loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("fixed_width", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_loss_and_gradients_are_those_of_transformers(kind, tied, fixed_width):
    own, stock = (model.double() for model in models(kind, tie_word_embeddings=tied))
    split = rows(fixed_width=fixed_width)
    for chosen in ([0, 1, 2, 3, 4, 5], [0], [2, 5], [5, 0, 3]):
        batch = split.__getitems__(chosen)
        plain = {name: batch[name] for name in ("input_ids", "labels")}
        for extra in ({}, {"num_items_in_batch": torch.tensor(7)}):
            loss, gradient = loss_and_gradients(own, {**batch, **extra})
            expected_loss, expected = loss_and_gradients(stock, {**plain, **extra})
            assert torch.allclose(loss, expected_loss, atol=1e-6)
            scale = expected.abs().max()  # transformers computes norms and turns in float32, hence not 1e-12
            assert (gradient - expected).abs().max() < 1e-5 * scale and scale > 0.01


def in_groups(widths, size):
    parts = [widths[start : start + size] for start in range(0, len(widths), size)]
    return [(len(part), part[-1]) for part in parts]


@pytest.mark.parametrize("groups", [None, 1, 3, 50])
def test_rows_of_unlike_lengths_are_computed_in_groups(groups, monkeypatch):
    own, stock = models("qwen2")
    split = rows([(f"srd_200=c_{row}", ",c_17" * (row * 7 % 11)) for row in range(50)])
    if groups is not None:
        monkeypatch.setattr("trainers.models.batch_plan._groups", lambda widths: in_groups(widths, -(-50 // groups)))
    batch = split.__getitems__(list(range(50)))
    known = batch["known"]
    widths = split.length_N[known["order_B"]].tolist()
    assert widths == sorted(widths)
    ((_, found),) = known["beginnings"]
    if groups is None:
        assert len(found) > 1
        assert sum(n * width for n, width in found) < 0.7 * batch["input_ids"].numel()
    loss, gradient = loss_and_gradients(own, batch)
    expected_loss, expected = loss_and_gradients(stock, {name: batch[name] for name in ("input_ids", "labels")})
    assert torch.allclose(loss, expected_loss, atol=1e-5)
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()


def test_what_the_short_pass_leaves_out_was_left_out():
    own, _ = models("qwen2")
    read = []
    own.model.embed_tokens.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].numel()))
    batch = rows().__getitems__([1, 2, 3])
    assert batch["known"]["beginnings"] == [(7, [(3, 21)])] and batch["input_ids"].shape == (3, 21)
    assert own(**batch).logits is None
    assert read == [7 + 3 * (21 - 7 - 1)]  # the shared tokens once, the last of each row never


def test_no_token_sees_those_behind_it_or_another_row():
    """Another token at one place of a row changes no prediction of other rows, nor one before it."""
    own, _ = models("qwen2")
    batch = rows([(f"srd_200=c_{row}", ",c_17" * (row % 5 + 1)) for row in range(9)]).__getitems__(list(range(9)))
    known, row, place = batch["known"], 8, 16  # the prompt has 11 tokens
    assert batch["labels"][row, place] != IGNORE
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][row, place] += 1
    labels = batch["labels"][known["order_B"]]
    rows_A, tokens_A = torch.nonzero(labels != IGNORE, as_tuple=True)
    may_change = (known["order_B"][rows_A] == row) & (tokens_A > place)
    before, after = (terms(own, one) for one in (batch, changed))
    assert torch.equal(before[~may_change], after[~may_change])
    assert not torch.isclose(before[may_change], after[may_change]).any() and may_change.sum() > 3


def terms(model, batch):
    """The loss of every labelled token alone: the others' labels are taken from where none is."""
    label_A, losses = batch["known"]["label_A"], []
    for number in range(len(label_A)):
        alone = torch.zeros_like(label_A)
        alone[number] = label_A[number]
        with torch.no_grad():
            losses.append(model(**{**batch, "known": {**batch["known"], "label_A": alone}}).loss)
    return torch.stack(losses)


MIXED = [  # as in a mixture: each question begins in its own way
    *((f"dist(c_{row},c_{row * 7})=", str(row * 31)) for row in range(9)),
    *((f"perimeter({','.join(f'c_{row + at}' for at in range(2 + row % 4))})=", "12") for row in range(11)),
    ("cross((c_1,c_2),(c_3,c_4))=", "true"),
]
KINDS = np.array([0] * 9 + [1] * 11 + [2])


def tokens_read(beginnings):
    return sum(n + sum(rows * (width - 1 - n) for rows, width in groups) for n, groups in beginnings)


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_rows_of_several_kinds_share_the_beginning_of_their_own(kind):
    own, stock = (model.double() for model in models(kind))
    split, plain = rows(MIXED, kind_N=KINDS), rows(MIXED)
    assert plain.shared_K == [1] and split.shared_K == [8, 13, 27]  # the last token of a prompt is every row's own
    for chosen in ([*range(21)], [20, 3, 12], [12, 13], [20], [5, 20, 0, 19, 7, 9]):
        batch = split.__getitems__(chosen)
        alone = plain.__getitems__(chosen)
        read, read_alone = (tokens_read(of["known"]["beginnings"]) for of in (batch, alone))
        assert read <= read_alone and (len(chosen) < 21 or read < 0.7 * read_alone)
        assert len(batch["known"]["beginnings"]) == len(set(KINDS[chosen].tolist()))
        assert torch.equal(batch["input_ids"], alone["input_ids"]) and torch.equal(batch["labels"], alone["labels"])
        goes_on = batch["labels"].flatten()[batch["known"]["label_A"]]
        labels = batch["labels"][batch["known"]["order_B"]]
        assert torch.equal(goes_on, labels[labels != IGNORE])
        loss, gradient = loss_and_gradients(own, batch)
        expected_loss, expected = loss_and_gradients(stock, {name: batch[name] for name in ("input_ids", "labels")})
        assert torch.allclose(loss, expected_loss, atol=1e-6)
        assert (gradient - expected).abs().max() < 1e-5 * expected.abs().max()


def test_no_row_sees_a_beginning_of_another_kind():
    own, _ = models("qwen2")
    batch = rows(MIXED, kind_N=KINDS).__getitems__([*range(21)])
    changed = {**batch, "input_ids": batch["input_ids"].clone()}
    changed["input_ids"][KINDS == 1, 3] += 1  # a token that all rows of one kind share
    before, after = (terms(own, one) for one in (batch, changed))
    kind_B = torch.from_numpy(KINDS)[batch["known"]["order_B"]]
    of_kind = kind_B[torch.nonzero(batch["labels"][batch["known"]["order_B"]] != IGNORE, as_tuple=True)[0]]
    assert torch.equal(before[of_kind != 1], after[of_kind != 1])
    assert not torch.isclose(before[of_kind == 1], after[of_kind == 1]).any()


def test_padding_changes_nothing():
    """A batch whose rows are all padded to the longest, as for a compiler, has the same loss and gradients."""
    own, _ = models("qwen2")
    texts = [(f"srd_200=c_{row}", ",c_17" * (row * 7 % 11)) for row in range(20)]
    grouped, padded = (rows(texts, fixed_width=fixed).__getitems__(list(range(20))) for fixed in (False, True))
    assert len(grouped["known"]["label_A"]) < len(padded["known"]["label_A"]) == 20 * 51
    (loss, gradient), (other_loss, other_gradient) = (loss_and_gradients(own, batch) for batch in (grouped, padded))
    assert torch.allclose(loss, other_loss, atol=1e-5)
    assert (gradient - other_gradient).abs().max() < 1e-4 * gradient.abs().max()


@pytest.mark.parametrize("texts", [TEXTS[:1], [("", "3"), ("loc", "4")], [("a", "1"), ("b", "2")]])
def test_rows_that_share_everything_or_nothing(texts):
    own, stock = models("qwen2")
    batch = rows(texts).__getitems__(list(range(len(texts))))
    assert (
        batch["known"]["beginnings"][0][0] < len(texts[0][0]) + 1
    )  # the token that predicts the answer is every row's own
    loss, gradient = loss_and_gradients(own, batch)
    expected_loss, expected = loss_and_gradients(stock, {name: batch[name] for name in ("input_ids", "labels")})
    assert torch.allclose(loss, expected_loss, atol=1e-5) and torch.allclose(gradient, expected, atol=1e-4)


def test_a_piece_of_a_batch_goes_through_transformers_own_pass():
    """`DataParallel` cuts tensors up and leaves everything else as it is."""
    own, stock = models("qwen2")
    batch = rows().__getitems__([0, 1, 2, 3])
    piece = {name: batch[name][2:] for name in ("input_ids", "labels")}
    known = {**batch["known"], "order_B": batch["known"]["order_B"][2:]}
    assert torch.allclose(own(**piece, known=known).loss, stock(**piece).loss)


def test_in_bfloat16_it_stays_as_close_as_transformers():
    own, stock = models("qwen2")
    batch = rows().__getitems__([0, 1, 2, 3, 4, 5])
    exact = own(**batch).loss.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own_loss = own(**batch).loss.item()
        stock_loss = stock(input_ids=batch["input_ids"], labels=batch["labels"]).loss.item()
    assert abs(own_loss - exact) < max(0.02 * exact, 2 * abs(stock_loss - exact))
    assert own_loss != exact  # it was in bfloat16


def test_everything_else_is_transformers_own():
    own, stock = models("qwen2")
    batch = rows().__getitems__([1, 4])
    ids, labels = batch["input_ids"], batch["labels"]
    with torch.no_grad():
        for asked in ({}, {"labels": labels}, {"output_hidden_states": True}, {"logits_to_keep": 1}):
            mine, theirs = own(ids, **asked), stock(ids, **asked)
            assert torch.equal(mine.logits, theirs.logits) and mine.keys() == theirs.keys()
    own.activation_checkpointing_enable()
    own.train()
    assert own(**batch).logits is not None


def test_batches_are_as_wide_as_their_longest_row():
    split = rows()
    for chosen in ([0], [0, 3], [1, 5]):
        batch = split.__getitems__(chosen)
        assert batch["input_ids"].shape[1] == int(split.length_N[chosen].max())
        labels = batch["labels"][batch["known"]["order_B"]]
        goes_on = batch["labels"].flatten()[batch["known"]["label_A"]]
        assert torch.equal(goes_on, labels[labels != IGNORE])  # and nothing else
    widths = {rows(fixed_width=True).__getitems__(chosen)["labels"].shape[1] for chosen in ([0], [1, 5])}
    assert widths == {int(split.length_N.max())}


@pytest.mark.parametrize("loss_on", ["answer", "all"])
def test_the_loss_is_a_plain_computation_row_by_row(loss_on):
    """Every row alone, without padding: the next token's negative log probability, over what the loss is on."""
    own, _ = models("qwen2")
    split = rows()
    split.loss_on = loss_on
    batch = split.__getitems__(list(range(len(TEXTS))))
    assert ("known" in batch) == (loss_on == "answer")
    terms = []
    with torch.no_grad():
        for prompt, answer in TEXTS:
            ids = [BOS_ID, *(VOCABULARY.index(c) for c in prompt + answer), EOS_ID]
            log_p = own.model(torch.tensor([ids])).last_hidden_state[0] @ own.lm_head.weight.T
            log_p = log_p.log_softmax(dim=-1)
            first = 1 if loss_on == "all" else 1 + len(prompt)
            terms += [-log_p[place - 1, ids[place]].item() for place in range(first, len(ids))]
        loss, share = own(**batch).loss, own(**batch, num_items_in_batch=torch.tensor(1000)).loss
    assert len(terms) == int((batch["labels"] != IGNORE).sum())  # what the Trainer divides by
    assert loss.item() == pytest.approx(sum(terms) / len(terms), abs=1e-5)
    assert share.item() == pytest.approx(sum(terms) / 1000, abs=1e-5)
