"""The grid models: what logits depend on, colours, losses, files and sizes."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel

from tasks.arc import padding
from tasks.arc.decoding import encode
from tasks.arc.grids import EOS, N_COLOURS, PAD, ROW, VOCABULARY_SIZE
from tasks.arc.model import ArcConfig, ArcModel
from tests.helpers import gap, refusal
from trainers.contract import IGNORE

from .grid_helpers import written
from .model_helpers import (
    EQUIVARIANT,
    LADDER,
    TABLE,
    TINY,
    answer_logits,
    batch_of,
    build,
    exchanged,
    prompts_of,
    random_episodes,
    random_table,
    run,
)

# --- what the logits depend on


def test_later_output_tokens_change_no_earlier_logits_but_their_own(model):
    episode = random_episodes(1, seed=4)[0]
    answer = [*written(episode[1]), EOS]
    expected = answer_logits(model, batch_of(model.config, [episode]))[0]
    for changed in range(len(answer) - 1):
        for token in {0, 7, ROW, EOS} - {answer[changed]}:
            other = [*answer[:changed], token, *[3] * (len(answer) - changed - 1)]
            found = answer_logits(model, batch_of(model.config, [episode], [other]))[0]
            assert gap(found[: changed + 1], expected[: changed + 1]) < 1e-6
            assert gap(found[changed + 1], expected[changed + 1]) > 1e-5


@pytest.mark.parametrize("name", ["decoder_only", "decoder_only_prompt"])
def test_the_last_token_of_a_decoder_alone_changes_nothing_before_it(name):
    model, episodes = build(name), random_episodes(1)
    batch = batch_of(model.config, episodes)
    expected = run(model, batch).logits
    batch["input_ids"][:, -1] = (batch["input_ids"][:, -1] + 1) % N_COLOURS
    found = run(model, batch).logits
    assert gap(found[:, :-1], expected[:, :-1]) < 1e-6 < gap(found[:, -1], expected[:, -1])


def test_every_part_of_the_prompt_is_looked_at(model):
    episodes = random_episodes(1)
    batch = batch_of(model.config, episodes)
    expected = answer_logits(model, batch)[0]
    for name in {"input_ids", "context_ids"} & set(batch):
        flat = batch[name].view(-1)
        for place in ((flat < N_COLOURS) & (flat > 0)).nonzero().flatten()[:3].tolist():
            kept = int(flat[place])
            flat[place] = 0
            assert gap(answer_logits(model, batch)[0], expected) > 1e-5
            flat[place] = kept


def test_it_counts_where_the_cells_of_the_prompt_stand(model):
    one, other = (np.array(grid, dtype=np.uint8) for grid in ([[5, 3, 0], [2, 0, 0]], [[5, 3, 0], [0, 0, 2]]))
    batches = [batch_of(model.config, [(grid, one, [(one, one)])]) for grid in (one, other)]
    assert gap(*(answer_logits(model, batch)[0] for batch in batches)) > 1e-4


def test_padding_columns_change_nothing(model):
    episodes = random_episodes(3)
    expected = answer_logits(model, batch_of(model.config, episodes))
    wider = batch_of(model.config, episodes, more=7)
    for ours, alone in zip(answer_logits(model, wider), expected, strict=True):
        assert gap(ours, alone) < 1e-5
    loss = run(model, batch_of(model.config, episodes)).loss
    assert float(run(model, wider).loss) == pytest.approx(float(loss), abs=1e-5)


def test_rows_of_a_batch_know_nothing_of_each_other(model):
    episodes = random_episodes(4)
    together = answer_logits(model, batch_of(model.config, episodes))
    for episode, found in zip(episodes, together, strict=True):
        assert gap(found, answer_logits(model, batch_of(model.config, [episode]))[0]) < 1e-5


@pytest.mark.parametrize("together", [1, 2, 5])
def test_encoding_grids_of_like_length_together_changes_neither_loss_nor_gradients(model, together, monkeypatch):
    batch = batch_of(model.config, random_episodes(7))
    found = []
    for number in (10**6, together):
        monkeypatch.setattr(padding, "_TOGETHER", number)
        loss = model(**batch).loss
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for ours, alone in zip(*found, strict=True):
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
@pytest.mark.parametrize("colours", ["table", "equivariant"])
def test_the_order_of_the_demonstrations_counts_for_nothing(name, colours):
    torch.manual_seed(0)
    model = ArcModel(ArcConfig(**{**LADDER[name], **TINY, "colours": colours})).eval()
    for seed in range(5):
        batch = batch_of(model.config, random_episodes(3, seed, n_pairs=4))
        logits = run(model, batch).logits
        for order in ([3, 2, 1, 0], [1, 2, 3, 0], [2, 3, 0, 1]):
            turned = {**batch, "context_ids": batch["context_ids"][:, order]}
            assert gap(logits, run(model, turned).logits) < 1e-5


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
def test_a_model_saved_before_keeps_labels_by_order_of_appearance(name, tmp_path):
    model, batch = build(name), batch_of(ArcConfig(**LADDER[name]), random_episodes(2, n_pairs=3))
    model.save_pretrained(tmp_path)
    assert not ArcModel.from_pretrained(tmp_path).config.colours_by_order
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["colours_by_order"]
    (tmp_path / "config.json").write_text(json.dumps(saved))
    old = ArcModel.from_pretrained(tmp_path)
    labels = old.code(batch["input_ids"], batch["context_ids"]).label_BV
    shown = torch.cat([batch["context_ids"].flatten(1), batch["input_ids"]], dim=1).tolist()
    for row, ids in zip(labels.tolist(), shown, strict=True):
        seen = [token for token in dict.fromkeys(ids) if 0 < token < N_COLOURS]
        assert [row[token] for token in seen] == list(range(1, 1 + len(seen)))
    turned = {**batch, "context_ids": batch["context_ids"].flip(1)}
    assert gap(run(old, batch).logits, run(old, turned).logits) > 1e-3


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
def test_demonstrations_that_are_padding_change_nothing(name):
    """A row may have fewer than the others: alone, and beside one with more, its answers and losses are the same."""
    model, (first, *others) = build(name), random_episodes(3, n_pairs=4)
    few = (*first[:2], first[2][:2])
    alone, longest = batch_of(model.config, [few]), batch_of(model.config, [(*first[:2], first[2]), *others])
    longest["context_ids"][0, 2:] = PAD
    both = model(**alone).loss, model(**{name: part[:1] for name, part in longest.items()}).loss
    torch.testing.assert_close(*both, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in both), atol=1e-6, rtol=1e-4
    )
    assert gap(answer_logits(model, longest)[0], answer_logits(model, alone)[0]) < 1e-5


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
def test_a_bridge_without_demonstrations_is_refused(name):
    model = build(name)
    batch = batch_of(model.config, random_episodes(1))
    del batch["context_ids"]
    with refusal("context_ids", of=ValueError):
        model(**batch)
    with refusal("context_ids", of=ValueError):
        encode(model, batch["input_ids"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LADDER)
def test_exchanging_colours_exchanges_logits_if_and_only_if_the_model_is_equivariant(name, seed):
    model, table = build(name), random_table(seed)
    batch = batch_of(model.config, random_episodes(4, seed))
    seen = set(batch["input_ids"].unique().tolist()) | set(batch.get("context_ids", torch.zeros(0)).unique().tolist())
    assert {token for token in batch["labels"].unique().tolist() if 0 < token < N_COLOURS} - seen or name in TABLE
    before, after = run(model, batch), run(model, exchanged(batch, table))
    if name in EQUIVARIANT:
        assert torch.equal(after.logits[..., table], before.logits)
        assert float(after.loss) == pytest.approx(float(before.loss), abs=1e-5)
    else:
        assert gap(after.logits[..., table], before.logits) > 0.01 < abs(float(after.loss - before.loss)) * 100


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_black_is_a_colour_of_its_own(name):
    model, table = build(name), [3, 1, 2, 0, *range(4, VOCABULARY_SIZE)]
    batch = batch_of(model.config, random_episodes(4))
    assert gap(run(model, exchanged(batch, table)).logits[..., table], run(model, batch).logits) > 0.01


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_colours_that_have_not_appeared_are_equally_likely_and_share_one_probability(name):
    model = build(name)
    for episode in random_episodes(3):
        batch = batch_of(model.config, [episode])
        seen = {
            token
            for part in ("input_ids", "context_ids")
            for token in batch.get(part, torch.zeros(0)).view(-1).tolist()
        }
        new = sorted(set(range(1, N_COLOURS)) - seen)
        assert len(new) > 1
        logits = run(model, batch).logits
        assert torch.equal(logits[..., new], logits[..., new[:1]].expand(-1, -1, len(new)))


def first_loss(name, used):
    """The loss of an almost empty model where inputs and outputs have the colours `used`."""
    model = build(name, init_scale=1e-4)
    grid = np.array([used], dtype=np.uint8)
    return float(run(model, batch_of(model.config, [(grid, grid, [(grid, grid)])])).loss)


@pytest.mark.parametrize("name", TABLE)
def test_an_untrained_model_with_a_table_of_colours_is_as_uncertain_as_chance(name):
    assert first_loss(name, [0, 3, 5]) == pytest.approx(math.log(VOCABULARY_SIZE), abs=0.01)


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("n_seen", [0, 1, 3, 8, 9])
def test_an_untrained_equivariant_model_chooses_among_its_labels(name, n_seen):
    """Black, the colours that have appeared, one label for all the others (if any), and the four special tokens."""
    n_labels = 1 + n_seen + (n_seen < 9) + 4
    assert first_loss(name, range(n_seen + 1)) == pytest.approx(math.log(n_labels), abs=0.01)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_probabilities_of_all_tokens_sum_to_one_over_the_labels(name):
    model = build(name)
    logits = run(model, batch_of(model.config, random_episodes(2))).logits
    code = encode(model, **prompts_of(model.config, random_episodes(2))).code
    for row, labels in zip(logits, code.label_BV, strict=True):
        own = torch.stack([row[:, labels == label].logsumexp(dim=1) for label in labels.unique()], dim=1)
        assert torch.allclose(own.logsumexp(dim=1), row.logsumexp(dim=1), atol=1e-5)


# --- losses


def gradients(model):
    return [p.grad for p in model.parameters()]


def test_nothing_to_predict_costs_nothing(model):
    batch = batch_of(model.config, random_episodes(2))
    batch["labels"].fill_(IGNORE)
    loss = model(**batch).loss
    loss.backward()
    assert loss.item() == 0
    assert all(not grad.any() for grad in gradients(model) if grad is not None)


def test_every_parameter_gets_a_gradient(model):
    model(**batch_of(model.config, random_episodes(4))).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_loss_is_pytorchs_over_the_answers_tokens(model):
    batch = batch_of(model.config, random_episodes(3))
    found = run(model, batch)
    expected = F.cross_entropy(found.logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE)
    assert float(found.loss) == pytest.approx(float(expected), rel=1e-5)


def test_num_items_in_batch_is_what_the_sum_is_divided_by(model):
    batch = batch_of(model.config, random_episodes(3))
    count = int((batch["labels"] != IGNORE).sum())
    mean = float(run(model, batch).loss)
    for items in (1, 7, 1000, torch.tensor(7), torch.tensor([7])):
        found = run(model, {**batch, "num_items_in_batch": items}).loss
        assert float(found) == pytest.approx(mean * count / int(items), rel=1e-5)


def test_two_batches_of_four_accumulated_are_one_of_eight(model):
    episodes = random_episodes(8)
    whole = batch_of(model.config, episodes)
    count = (whole["labels"] != IGNORE).sum()
    loss = model(**whole).loss
    loss.backward()
    expected = [grad.clone() for grad in gradients(model)]
    model.zero_grad()
    halves = [
        model(**batch_of(model.config, part), num_items_in_batch=count).loss for part in (episodes[:4], episodes[4:])
    ]
    sum(halves).backward()
    assert sum(halves).item() == pytest.approx(loss.item(), rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients(model), expected, strict=True))


# --- sizes, files, options


def test_saved_and_loaded_by_transformers_alone_the_logits_are_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    batch = batch_of(model.config, random_episodes(2))
    assert type(loaded) is ArcModel and torch.equal(run(loaded, batch).logits, run(model, batch).logits)


def test_transformers_knows_the_config():
    config = AutoConfig.for_model("arc_grids", hidden_size=48)
    assert type(config) is ArcConfig and config.hidden_size == 48 and config.eos_token_id == EOS
    assert type(AutoModel.from_config(ArcConfig(**LADDER["2d"], **TINY))) is ArcModel


@pytest.mark.parametrize(
    ("name", "sizes", "parameters", "within"),
    [
        ("decoder_only", (128, 0, 2, 0, 4, 512), 526e3, 0.02),
        ("encoder_decoder", (128, 2, 2, 0, 4, 344), 0.93e6, 0.02),
        ("cross_attention", (160, 1, 3, 1, 4, 384), 1.7e6, 0.05),
    ],
)
def test_the_documented_sizes_have_the_documented_parameter_counts(name, sizes, parameters, within):
    names = ["hidden_size", "num_encoder_layers", "num_hidden_layers", "num_context_layers", "num_attention_heads"]
    options = dict(zip([*names, "intermediate_size"], sizes, strict=True))
    with torch.device("meta"):
        assert build(name, **options).num_parameters() == pytest.approx(parameters, rel=within)


@pytest.mark.parametrize("scale", [0.001, 0.1])
def test_init_scale_is_the_spread_of_every_linear_and_embedding_weight(scale):
    for module in build("cross_attention", hidden_size=64, init_scale=scale).modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            n = module.weight.numel()
            assert module.weight.std().item() == pytest.approx(scale, rel=5 / math.sqrt(n))
        elif isinstance(module, torch.nn.LayerNorm):
            assert (module.weight == 1).all()
