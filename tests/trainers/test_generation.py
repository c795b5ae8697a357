"""Generated answers do not depend on padding, batching or order, and are the model's own greedy choice."""

import itertools

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokenization.characters import BOS_ID, EOS_ID, PAD_ID, VOCABULARY, ColumnEncoder
from trainers.models import greedy_decoder
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.models.fused_blocks import is_supported, rotary_table
from trainers.models.generation import generate_answers
from trainers.models.greedy_decoder import GreedyDecoder, _passes

PROMPTS = ["loc(c_1)=", "loc(c_12)=", "loc(c_123)=", "loc(c_4074)=", "dist(c_1,c_22)=", "a", "loc(c_9)="]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    options = DecoderOptions(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, init_scale=0.4)
    special_ids = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    return build_decoder(options, len(VOCABULARY), 64, special_ids).eval()


@pytest.fixture(scope="module")
def rows():
    return ColumnEncoder().encode(PROMPTS, ["12,34"] * len(PROMPTS))


def one_by_one(model, rows, new_tokens):
    """Greedy decoding of the simplest kind: no padding, no cache, one token after another."""
    answers = np.full((len(rows.ids_NT), new_tokens), PAD_ID)
    for i, length in enumerate(rows.prompt_len_N):
        ids = rows.ids_NT[i, :length].tolist()
        for j in range(new_tokens):
            with torch.no_grad():
                answers[i, j] = model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()
            ids.append(int(answers[i, j]))
            if answers[i, j] == EOS_ID:
                break
    return answers


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_answers_are_the_greedy_choice_whatever_the_batch(model, rows, batch_size):
    expected = one_by_one(model, rows, 12)
    assert len(np.unique(expected)) > 3  # the test would see a difference
    assert np.array_equal(generate_answers(model, rows.ids_NT, rows.prompt_len_N, 12, batch_size), expected)


def test_the_expected_answer_does_not_leak_into_the_prompt(model, rows):
    other = ColumnEncoder().encode(PROMPTS, ["9,9"] * len(PROMPTS))
    first = generate_answers(model, rows.ids_NT, rows.prompt_len_N, 8, 4)
    assert np.array_equal(first, generate_answers(model, other.ids_NT, other.prompt_len_N, 8, 4))


def test_future_tokens_and_padding_change_nothing_before_them(model, rows):
    ids = torch.from_numpy(rows.ids_NT[:1].astype(np.int64))
    longer = torch.cat([ids, torch.full((1, 9), PAD_ID)], dim=1)
    changed = ids.clone()
    changed[0, 8:] = 5
    with torch.no_grad():
        logits, padded, after = (model(x).logits for x in (ids, longer, changed))
    assert torch.allclose(logits, padded[:, : ids.shape[1]], atol=1e-5)
    assert torch.allclose(logits[:, :8], after[:, :8], atol=1e-5) and not torch.allclose(logits[:, 8:], after[:, 8:])


def trained_a_little(kind, heads=2, **sizes):
    """A model whose norms, biases and weights are all somewhere else than at their start."""
    torch.manual_seed(1)
    options = DecoderOptions(model_type=kind, hidden_size=48, num_hidden_layers=3, num_attention_heads=heads, **sizes)
    special_ids = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    model = build_decoder(options, len(VOCABULARY), 64, special_ids).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_lean_decoding_gives_the_logits_and_tokens_of_transformers(kind, tied, rows):
    model = trained_a_little(kind, tie_word_embeddings=tied).double()
    assert is_supported(model)
    decoder = GreedyDecoder(model)
    ids_BP = torch.randint(3, len(VOCABULARY), (40, 9), generator=torch.Generator().manual_seed(0))
    for shared in (0, 1, 5, 8):  # what all prompts begin with is read once
        ids_BP[:, :shared] = ids_BP[0, :shared]
        found = decoder.decode(ids_BP, 12, EOS_ID, PAD_ID)
        mask = torch.ones_like(ids_BP)
        stock = model.generate(ids_BP, attention_mask=mask, max_new_tokens=12, do_sample=False)[:, 9:]
        assert torch.equal(found[:, : stock.shape[1]], stock) and (found[:, stock.shape[1] :] == PAD_ID).all()
    with torch.no_grad():
        logits, _ = decoder._read(ids_BP, 0, rotary_table(decoder.inverse_frequency, 9))
        assert torch.allclose(logits, model(ids_BP).logits[:, -1], atol=1e-4)  # transformers turns in float32


@pytest.fixture
def unread_is_nan():
    """Let PyTorch fill new memory with NaN, which would spread to every token that reads it."""
    torch.use_deterministic_algorithms(True)  # `torch.utils.deterministic.fill_uninitialized_memory` is on by default
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("batch_size", [7, 30, 100])
@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("short", [0, 20, 64])  # tokens up to which the heads are one product: never, at first, always
def test_prompts_that_part_anywhere_are_read_once_up_to_there(short, sort, batch_size, unread_is_nan, monkeypatch):
    monkeypatch.setattr(greedy_decoder, "_SHORT", short)
    model = trained_a_little("qwen2", heads=3).double()
    generator = torch.Generator().manual_seed(0)
    ids_NP = torch.randint(3, 6, (100, 9), generator=generator)  # three letters: beginnings of every length are shared
    ids_NP = ids_NP[np.lexsort(ids_NP.numpy().T[::-1])] if sort else ids_NP
    found = [GreedyDecoder(model).decode(part_BP, 20, EOS_ID, PAD_ID) for part_BP in ids_NP.split(batch_size)]
    mask = torch.ones_like(ids_NP)
    stock = model.generate(ids_NP, attention_mask=mask, max_new_tokens=20, do_sample=False)[:, 9:]
    assert torch.equal(torch.cat(found), stock)


@pytest.mark.parametrize("letters", [1, 2, 3, 30])
def test_passes_read_every_beginning_and_no_other(letters):
    ids_NP = torch.randint(letters, (300, 6), generator=torch.Generator().manual_seed(0))
    ids_NP = ids_NP[np.lexsort(ids_NP.numpy().T[::-1])]
    passes = list(_passes(ids_NP))
    assert [start for start, *_ in passes] == [0, *(stop for _, stop, _ in passes[:-1])] and passes[-1][1] == 6
    for _, stop, run_B in passes[:-1]:
        _, expected_B = torch.unique_consecutive(ids_NP[:, :stop], dim=0, return_inverse=True)
        assert torch.equal(run_B, expected_B)
    assert torch.equal(passes[-1][2], torch.arange(300))
    counts = [int(run_B.max()) + 1 for *_, run_B in passes]
    assert all(4 * before <= after for before, after in itertools.pairwise(counts))
    assert len(passes) > 1 or letters == 30


def test_rows_that_have_ended_stay_ended_and_the_others_go_on():
    model = trained_a_little("qwen2")
    ids_BP = torch.randint(3, len(VOCABULARY), (200, 4), generator=torch.Generator().manual_seed(0))
    ends_B = (GreedyDecoder(model).decode(ids_BP, 60, EOS_ID, PAD_ID) == EOS_ID).any(dim=1)
    ids_BP = torch.cat([ids_BP[~ends_B][:10], ids_BP[ends_B], ids_BP[~ends_B][10:20]])
    assert 40 < ends_B.sum() < 100  # so half of the rows ended, and decoding went on without them
    found = GreedyDecoder(model).decode(ids_BP, 60, EOS_ID, PAD_ID)
    ended = (found == EOS_ID).cumsum(dim=1) > 0
    assert (found[:, 1:][ended[:, :-1]] == PAD_ID).all()
    stock = model.generate(ids_BP, attention_mask=torch.ones_like(ids_BP), max_new_tokens=60, do_sample=False)[:, 4:]
    assert torch.equal(found, stock)


@pytest.mark.parametrize("other", [{"num_key_value_heads": 2}, {"attention_bias": True}, {"mlp_bias": True}])
def test_models_that_the_lean_decoder_does_not_know_are_left_to_transformers(other, rows):
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        initializer_range=0.4,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        **other,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_()
    assert not is_supported(model)
    expected = one_by_one(model, rows, 12)
    assert np.array_equal(generate_answers(model, rows.ids_NT, rows.prompt_len_N, 12, 3), expected)
