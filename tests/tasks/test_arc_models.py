"""The grid models: causality, places, colours, losses, attention and generation, each against something simpler."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from tasks.arc.building import build_model
from tasks.arc.decoding import encode, generate, second_attempt
from tasks.arc.grids import BOS, EOS, N_COLOURS, PAD, ROW, VOCABULARY_SIZE, read_grid
from tasks.arc.model import ArcConfig, ArcModel
from tasks.arc.options import ArcModelOptions
from tasks.arc.positions import EDGE_LIMIT, cell_places, next_places
from trainers.contract import IGNORE
from trainers.errors import UserError
from trainers.models.blocks import Attention, apply_rotary, rotary_table


def flags(architecture, positions, colours, bridge):
    return {"architecture": architecture, "positions": positions, "colours": colours, "bridge": bridge}


LADDER = {
    "decoder_only": flags("decoder_only", "1d", "table", "none"),
    "decoder_only_prompt": flags("decoder_only", "1d", "table", "prompt"),
    "encoder_decoder": flags("encoder_decoder", "1d", "table", "none"),
    "2d": flags("encoder_decoder", "2d", "table", "none"),
    "equivariant": flags("encoder_decoder", "2d", "equivariant", "none"),
    "concat_mlp": flags("encoder_decoder", "2d", "equivariant", "concat_mlp"),
    "cross_attention": flags("encoder_decoder", "2d", "equivariant", "cross_attention"),
}
EQUIVARIANT = ["equivariant", "concat_mlp", "cross_attention"]
TABLE = [name for name in LADDER if name not in EQUIVARIANT]
TINY = {
    "hidden_size": 16,
    "num_encoder_layers": 1,
    "num_hidden_layers": 1,
    "num_context_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "init_scale": 0.2,
}
LONGEST = 10  # generated tokens


def build(name, seed=0, **sizes):
    torch.manual_seed(seed)
    return ArcModel(ArcConfig(**LADDER[name], **{**TINY, **sizes})).eval()


@pytest.fixture(params=LADDER)
def model(request):
    return build(request.param)


# --- batches, written with plain lists


def random_grid(rng, colours=range(N_COLOURS)):
    return rng.choice(np.array(colours, dtype=np.uint8), size=rng.integers(1, 5, size=2))


def random_episodes(n=3, seed=0, n_pairs=2):
    """Inputs and demonstrations have few colours, outputs have all."""
    rng = np.random.default_rng(seed)
    some = [0, *rng.permutation(np.arange(1, N_COLOURS))[:4].tolist()]
    return [
        (
            random_grid(rng, some),
            random_grid(rng),
            [(random_grid(rng, some), random_grid(rng, some)) for _ in range(n_pairs)],
        )
        for _ in range(n)
    ]


def written(grid):
    return [token for row in grid.tolist() for token in [*row, ROW]][:-1]


def shown(pairs):
    return [[*written(before), BOS, *written(after), EOS] for before, after in pairs]


def padded(sequences, fill, more=0):
    longest = max(map(len, sequences)) + more
    return torch.tensor([[*ids, *[fill] * (longest - len(ids))] for ids in sequences])


def prompts_of(config, episodes, more=0):
    front = [list(itertools.chain(*shown(pairs))) if config.bridge == "prompt" else [] for *_, pairs in episodes]
    asked = {
        "input_ids": padded([f + written(before) for f, (before, *_) in zip(front, episodes, strict=True)], PAD, more)
    }
    if config.bridge in ("concat_mlp", "cross_attention"):
        flat = padded([ids for *_, pairs in episodes for ids in shown(pairs)], PAD, more)
        asked["context_ids"] = flat.unflatten(0, (len(episodes), -1))
    return asked


def batch_of(config, episodes, answers=None, more=0):
    """What the model is trained on; `answers` are lists of tokens in place of the true ones; `more` pads."""
    answers = answers or [[*written(after), EOS] for _, after, _ in episodes]
    asked = prompts_of(config, episodes, more)
    if config.architecture == "encoder_decoder":
        return {**asked, "labels": padded(answers, IGNORE, more)}
    fronts = [[token for token in ids if token != PAD] for ids in asked["input_ids"].tolist()]
    whole = [[*front, BOS, *answer] for front, answer in zip(fronts, answers, strict=True)]
    labels = [[*[IGNORE] * len(front), *answer] for front, answer in zip(fronts, answers, strict=True)]
    return {"input_ids": padded([ids[:-1] for ids in whole], PAD, more), "labels": padded(labels, IGNORE, more)}


def run(model, batch):
    with torch.no_grad():
        return model(**batch)


def answer_logits(model, batch):
    """For every row the logits that predict its answer."""
    return [logits[row >= 0] for logits, row in zip(run(model, batch).logits, batch["labels"], strict=True)]


def gap(one, other):
    return (one - other).abs().max().item() if one.numel() else 0.0


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


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
def test_the_order_of_the_demonstrations_counts_only_for_the_order_of_colours(name):
    torch.manual_seed(0)
    model = ArcModel(ArcConfig(**{**LADDER[name], **TINY, "colours": "table"})).eval()
    batch = batch_of(model.config, random_episodes(2, n_pairs=3))
    turned = {**batch, "context_ids": batch["context_ids"].flip(1)}
    assert gap(run(model, batch).logits, run(model, turned).logits) < 1e-5


@pytest.mark.parametrize("name", ["concat_mlp", "cross_attention"])
def test_a_bridge_without_demonstrations_is_refused(name):
    model = build(name)
    batch = batch_of(model.config, random_episodes(1))
    del batch["context_ids"]
    with pytest.raises(ValueError, match="needs context_ids"):
        model(**batch)
    with pytest.raises(ValueError, match="needs context_ids"):
        encode(model, batch["input_ids"])


# --- places


def naive_places(ids):
    """Row, column, rows below and columns to the right of a sequence's cells; row and column of its ROWs."""
    places, grid = {}, []

    def close():
        for r, row in enumerate(grid):
            for c, place in enumerate(row):
                places[place] = (r, c, len(grid) - 1 - r, len(row) - 1 - c)

    for place, token in enumerate(ids):
        if token in (BOS, EOS, PAD):
            close()
            grid = []
        elif token == ROW:
            grid.append([])
        else:
            grid = grid or [[]]
            grid[-1].append(place)
    close()
    return places


def naive_next_places(ids):
    row = column = 0
    found = []
    for token in ids:
        if token in (BOS, EOS, PAD):
            row = column = 0
        elif token == ROW:
            row, column = row + 1, 0
        else:
            column += 1
        found.append((row, column))
    return found


RELATIVE = ["2d", "equivariant", "concat_mlp", "cross_attention"]


def without_edges(name):
    """A model in two dimensions that knows places by rotary positions alone."""
    model = build(name)
    with torch.no_grad():
        for table in model.from_edge:
            table.weight.zero_()
    return model


@pytest.mark.parametrize("name", RELATIVE)
def test_rotary_positions_alone_say_how_output_cells_stand_to_those_of_the_grids_shown(name, monkeypatch):
    model = without_edges(name)
    batch = batch_of(model.config, random_episodes(3))
    expected = run(model, batch).logits

    def moved(places, by):
        return lambda ids: [place + shift for place, shift in zip(places(ids), [*by, 0, 0], strict=False)]

    for by in ((4, 7), (0, 3), (2, 0)):
        monkeypatch.setattr("tasks.arc.model.cell_places", moved(cell_places, by))
        monkeypatch.setattr("tasks.arc.model.next_places", next_places)
        assert gap(run(model, batch).logits, expected) > 1e-3
        monkeypatch.setattr("tasks.arc.model.next_places", moved(next_places, by))
        assert gap(run(model, batch).logits, expected) < 1e-4


@pytest.mark.parametrize("name", RELATIVE)
def test_encoders_know_by_rotary_positions_how_cells_stand_to_each_other(name):
    model = without_edges(name)
    one, two = torch.tensor([[1, 2, 3, ROW, 4, 5, 6]]), torch.tensor([[1, 2, 6, ROW, 4, 5, 3]])
    code = encode(build("2d"), one).code  # every colour its own label
    for stack in (model.encoder, model.context_encoder):
        if len(stack):
            (first, *_), (second, *_) = (model._encode(stack, ids, code) for ids in (one, two))
            assert gap(first[:, 0], second[:, 0]) > 1e-4


def random_sequences(seed, n=20):
    """Demonstrations: two grids each, of different sizes."""
    rng = np.random.default_rng(seed)
    return padded(shown([(random_grid(rng), random_grid(rng)) for _ in range(n)]), PAD, more=2)


def test_places_in_a_grid_of_width_7():
    row, column, below, right = cell_places(torch.tensor([written(np.ones((3, 7), dtype=np.uint8))]))
    cells = [place for place in range(3 * 8 - 1) if place % 8 != 7]
    assert row[0, cells].tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert column[0, cells].tolist() == list(range(7)) * 3
    assert below[0, cells].tolist() == [2] * 7 + [1] * 7 + [0] * 7
    assert right[0, cells].tolist() == [*range(6, -1, -1)] * 3


def test_places_in_the_two_grids_of_a_demonstration():
    ids = shown([(np.ones((2, 7), dtype=np.uint8), np.ones((3, 2), dtype=np.uint8))])
    row, column, below, right = (place[0].tolist() for place in cell_places(padded(ids, PAD, more=3)))
    first, second = slice(0, 7), slice(8, 15)
    assert (row[first], column[first], below[first], right[first]) == ([0] * 7, [*range(7)], [1] * 7, [*range(7)][::-1])
    assert (row[second], column[second], below[second]) == ([1] * 7, [*range(7)], [0] * 7)
    start = 16  # behind 15 tokens and BOS
    cells = [start, start + 1, start + 3, start + 4, start + 6, start + 7]
    assert [row[c] for c in cells] == [0, 0, 1, 1, 2, 2] and [below[c] for c in cells] == [2, 2, 1, 1, 0, 0]
    assert [column[c] for c in cells] == [0, 1] * 3 and [right[c] for c in cells] == [1, 0] * 3
    for place in (row, column, below, right):
        assert place[15] == 0 and place[start + 8 :] == [0] * 4  # BOS; EOS and pads


@pytest.mark.parametrize("seed", range(3))
def test_places_are_those_of_a_plain_loop(seed):
    ids_BL = random_sequences(seed)
    found = torch.stack(cell_places(ids_BL), dim=-1).tolist()
    for ids, places in zip(ids_BL.tolist(), found, strict=True):
        expected = naive_places(ids)
        assert {place: tuple(places[place]) for place in expected} == expected
        assert all(places[place] == [0] * 4 for place, token in enumerate(ids) if token in (BOS, EOS, PAD))


@pytest.mark.parametrize("seed", range(3))
def test_next_places_are_those_of_a_plain_loop(seed):
    ids_BL = random_sequences(seed)
    shuffled_BL = ids_BL[:, torch.randperm(ids_BL.shape[1], generator=torch.Generator().manual_seed(seed))]
    for sequences in (ids_BL, shuffled_BL):  # what is generated need not be a grid
        found = torch.stack(next_places(sequences), dim=-1).tolist()
        assert [list(map(tuple, row)) for row in found] == [naive_next_places(row) for row in sequences.tolist()]


def test_next_places_never_look_ahead_and_are_the_next_cells_places():
    ids_BL = random_sequences(3)
    whole, cells = torch.stack(next_places(ids_BL)), torch.stack(cell_places(ids_BL)[:2])
    for end in range(1, ids_BL.shape[1]):
        assert torch.equal(torch.stack(next_places(ids_BL[:, :end])), whole[:, :, :end])
    inside = (ids_BL[:, 1:] <= ROW) & (ids_BL[:, 1:] != PAD)
    assert torch.equal(whole[:, :, :-1][:, inside], cells[:, :, 1:][:, inside])


def test_every_place_of_the_largest_grids_has_its_vector():
    grids = [np.ones(shape, dtype=np.uint8) for shape in ((30, 30), (1, 30), (30, 1))]
    ids_BL = padded(shown([(grid, grid) for grid in grids]), PAD)
    for place in [*cell_places(ids_BL), *next_places(ids_BL)]:
        assert place.min() == 0 and place.max() < EDGE_LIMIT


# --- colours


def exchanged(batch, table):
    """The batch with its colours exchanged; `table` maps token ids."""
    colours = {**dict(enumerate(table)), IGNORE: IGNORE}
    return {name: part.clone().apply_(colours.__getitem__) for name, part in batch.items()}


def random_table(seed):
    nine = 1 + np.random.default_rng(seed).permutation(N_COLOURS - 1)
    return [0, *nine.tolist(), *range(N_COLOURS, VOCABULARY_SIZE)]


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


REFUSED = [
    (flags("encoder_decoder", "2d", "table", "none") | {"hidden_size": 24}, "heads of size 6; .* multiple of 4"),
    (flags("encoder_decoder", "1d", "table", "none") | {"hidden_size": 20}, "heads of size 5; .* multiple of 2"),
    (flags("decoder_only", "1d", "table", "none") | {"hidden_size": 30}, "heads of size 7.5; .* multiple of 2"),
    (flags("decoder_only", "2d", "table", "none"), "does not go with --positions 2d: "),
    (flags("decoder_only", "1d", "equivariant", "none"), "does not go with --colours equivariant: "),
    (flags("decoder_only", "1d", "table", "concat_mlp"), "does not go with --bridge concat_mlp: "),
    (flags("decoder_only", "1d", "table", "cross_attention"), "does not go with --bridge cross_attention: "),
    (
        flags("decoder_only", "2d", "equivariant", "cross_attention"),
        "--positions 2d and --colours equivariant and --bridge cross_attention: ",
    ),
    (flags("encoder_decoder", "2d", "table", "prompt"), "prompt is for --architecture decoder_only; choose"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_flags_that_do_not_go_together_are_refused_in_one_sentence(options, message):
    with pytest.raises(UserError, match=message) as caught:
        build_model(ArcModelOptions(**{**TINY, "num_attention_heads": 4, **options}), None)
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


@pytest.mark.parametrize("name", LADDER)
def test_every_step_of_the_ladder_can_be_built_and_is_what_was_asked_for(name):
    model = build_model(ArcModelOptions(**{**TINY, **LADDER[name]}), None)
    assert {flag: getattr(model.config, flag) for flag in LADDER[name]} == LADDER[name]
    assert {flag: getattr(model.config, flag) for flag in TINY} == TINY


# --- attention


def test_rotary_positions_along_a_sequence_are_llamas():
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 4, 40, 16)
    places = torch.randint(0, 900, (3, 40))
    llama = LlamaRotaryEmbedding(LlamaConfig(hidden_size=64, num_attention_heads=4))
    by = rotary_table([places], 16)
    for expected, x in zip(apply_rotary_pos_emb(query, key, *llama(query, places)), (query, key), strict=True):
        assert gap(apply_rotary(x, by), expected) < 1e-4  # angles up to 900 have no more digits


@pytest.mark.parametrize("n_axes", [1, 2])
def test_attention_scores_depend_on_relative_places_alone(n_axes):
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 12, 16)
    places = [torch.randint(0, 20, (1, 12)) for _ in range(n_axes)]

    def scores(moved, *shifts):
        turned = rotary_table([place + shift for place, shift in zip(places, shifts, strict=True)], 16)
        return apply_rotary(query, turned) @ apply_rotary(key, turned if moved else rotary_table(places, 16)).transpose(
            -1, -2
        )

    here = scores(True, *[0] * n_axes)
    assert gap(scores(True, *[5, 9][:n_axes]), here) < 1e-4
    for axis in range(n_axes):  # and on those along each axis
        assert gap(scores(False, *[3 * (axis == other) for other in range(n_axes)]), here) > 0.1


@pytest.mark.parametrize("n_axes", [1, 2])
def test_rotation_keeps_lengths_and_leaves_place_0_alone(n_axes):
    x = torch.randn(1, 2, 12, 16, generator=torch.Generator().manual_seed(0))
    assert (
        torch.equal(apply_rotary(x, rotary_table([torch.zeros(1, 12)] * n_axes, 16)), x) and apply_rotary(x, None) is x
    )
    assert torch.allclose(
        apply_rotary(x, rotary_table([torch.arange(12)[None]] * n_axes, 16)).norm(dim=-1), x.norm(dim=-1)
    )


def test_attention_with_padding_masked_is_attention_without_padding():
    torch.manual_seed(0)
    attention, x, memory = Attention(16, 2), torch.randn(1, 5, 16), torch.randn(1, 9, 16)
    rotated, own = rotary_table([torch.arange(9)[None]], 8), rotary_table([torch.arange(5)[None]], 8)
    mask = (torch.arange(9) < 6)[None, None, None]
    found = attention(x, attention.keys_values(memory, rotated), own, mask)
    short = rotary_table([torch.arange(6)[None]], 8)
    assert gap(found, attention(x, attention.keys_values(memory[:, :6], short), own)) < 1e-6


def test_causal_attention_is_a_plain_softmax_over_what_came_before():
    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(2, 7, 16)
    found = attention(x, attention.keys_values(x, None), None, causal=True)
    query, key, value = (
        part(x).view(2, 7, 2, 8).transpose(1, 2) for part in (attention.query, attention.key, attention.value)
    )
    scores = (query @ key.transpose(-1, -2) / math.sqrt(8)).masked_fill(~torch.ones(7, 7).tril().bool(), -torch.inf)
    assert gap(found, attention.output((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))) < 1e-5


# --- generation


def allowed(logits):
    """Logits of what an answer may have."""
    return logits.index_fill(-1, torch.tensor([PAD, BOS]), -torch.inf)


def one_by_one(model, episode):
    """Greedy decoding of the simplest kind: one row, no cache, everything so far read again for each token."""
    answer = []
    while len(answer) < LONGEST and EOS not in answer:
        batch = batch_of(model.config, [episode], [[*answer, 0]])  # what stands last is not looked at
        answer.append(int(allowed(run(model, batch).logits[0, -1]).argmax()))
    return answer


def cut(ids):
    """The tokens up to EOS."""
    ids = ids.tolist()
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids


def generated(model, episodes):
    prompts = encode(model, **prompts_of(model.config, episodes))
    return prompts, generate(model, prompts, LONGEST)


def is_varied(found):
    """Answers of several lengths, some with rows, without ties."""
    lengths = {len(cut(ids)) for ids in found.ids_BT}
    return len(lengths) > 2 and (found.ids_BT == ROW).sum() > 2 and found.margin_BT.min() > 1e-3


@pytest.fixture(scope="module", params=LADDER)
def decoded(request):
    """A model, episodes with prompts of different lengths, the encoded prompts, and what was generated at once."""
    episodes = random_episodes(6, seed=1)
    assert len({len(written(before)) for before, *_ in episodes}) > 2
    for seed in range(200):
        model = build(request.param, seed, num_hidden_layers=2)
        with torch.no_grad():
            model.head.weight[[ROW, EOS]] *= 2  # random models rarely end
        prompts, found = generated(model, episodes)
        if is_varied(found):
            return model, episodes, prompts, found
    raise AssertionError("no random model gives varied answers")


def test_generation_is_the_greedy_choice_without_any_cache(decoded):
    model, episodes, _, found = decoded
    assert [cut(ids) for ids in found.ids_BT] == [one_by_one(model, episode) for episode in episodes]


def test_generation_is_the_best_choice_under_teacher_forcing(decoded):
    model, episodes, _, found = decoded
    answers = [cut(ids) for ids in found.ids_BT]
    for row, logits in enumerate(answer_logits(model, batch_of(model.config, episodes, answers))):
        (first, second), (best, runner_up) = (part.unbind(1) for part in allowed(logits).topk(2, dim=1))
        n = len(answers[row])
        assert best.tolist() == answers[row] and runner_up.tolist() == found.runner_up_BT[row, :n].tolist()
        assert gap(found.margin_BT[row, :n], first - second) < 1e-4
        assert (found.ids_BT[row, n:] == PAD).all() and found.margin_BT[row, n:].isinf().all()


def test_pads_and_bos_are_never_generated_before_eos(decoded):
    *_, found = decoded
    assert not {token for ids in found.ids_BT for token in cut(ids)} & {PAD, BOS}


def test_prompts_can_be_decoded_again(decoded):
    model, _, prompts, found = decoded
    assert torch.equal(generate(model, prompts, LONGEST).ids_BT, found.ids_BT)


def test_fewer_tokens_are_the_beginning_of_more(decoded):
    model, _, prompts, found = decoded
    assert torch.equal(generate(model, prompts, 3).ids_BT, found.ids_BT[:, :3])


def test_forced_tokens_are_kept_and_the_others_are_the_models_choice(decoded):
    model, episodes, prompts, _ = decoded
    forced = torch.tensor([[4, -1, ROW, -1], [-1, EOS, -1, -1], [-1, -1, -1, 9]]).repeat(2, 1)
    found = generate(model, prompts, LONGEST, forced)
    answers = [cut(ids) for ids in found.ids_BT]
    forcing = answer_logits(model, batch_of(model.config, episodes, answers))
    for answer, asked, logits in zip(answers, forced.tolist(), forcing, strict=True):
        asked = [*asked, *[-1] * LONGEST]
        best = allowed(logits).argmax(dim=1).tolist()
        assert answer == [best[i] if asked[i] < 0 else asked[i] for i in range(len(answer))]
    assert all(EOS in answers[row][:2] for row in (1, 4))


def test_the_second_attempt_differs_first_at_the_least_certain_token(decoded):
    model, _, prompts, first = decoded
    second = second_attempt(model, prompts, LONGEST, first)
    for row, margins in enumerate(first.margin_BT):
        doubt = int(margins.argmin())
        assert second[row, :doubt].tolist() == first.ids_BT[row, :doubt].tolist()
        assert second[row, doubt] == first.runner_up_BT[row, doubt] != first.ids_BT[row, doubt]
        assert doubt < len(cut(first.ids_BT[row]))


def test_the_second_attempt_goes_on_greedily(decoded):
    model, episodes, prompts, first = decoded
    answers = [cut(ids) for ids in second_attempt(model, prompts, LONGEST, first)]
    forcing = answer_logits(model, batch_of(model.config, episodes, answers))
    for answer, margins, logits in zip(answers, first.margin_BT, forcing, strict=True):
        after = int(margins.argmin()) + 1
        assert allowed(logits).argmax(dim=1).tolist()[after:] == answer[after:]


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_exchanging_colours_exchanges_what_is_generated(name):
    table, n_compared = random_table(5), 0
    inverse = np.argsort(table).tolist()
    for seed in range(5):
        model, asked = build(name, seed), prompts_of(ArcConfig(**LADDER[name]), random_episodes(6, seed=1))
        found, other = (
            generate(model, encode(model, **part), LONGEST).ids_BT for part in (asked, exchanged(asked, table))
        )
        parts = torch.cat([part.flatten(1) for part in asked.values()], dim=1).tolist()
        for seen, ids, expected in zip(
            parts, found.tolist(), exchanged({"": other}, inverse)[""].tolist(), strict=True
        ):
            if not set(ids) & set(range(1, N_COLOURS)) - set(seen):  # one of several equally likely ones
                assert ids == expected
                n_compared += 1
    assert n_compared > 10


def test_what_is_solved_in_training_is_generated_exactly():
    rng = np.random.default_rng(0)
    grids = [random_grid(rng, [0, 1, 2, 3]) for _ in range(16)]
    episodes = [(grid, grid[::-1], [(shown, shown[::-1])]) for grid, shown in zip(grids[:8], grids[8:], strict=True)]
    model = build("cross_attention", hidden_size=32, intermediate_size=64, init_scale=0.1).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = batch_of(model.config, episodes)
    for _ in range(300):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.01:
            break
    model.eval()
    found = generate(model, encode(model, **prompts_of(model.config, episodes)), 25).ids_BT
    forced = [allowed(logits).argmax(dim=1).tolist() for logits in answer_logits(model, batch)]
    assert [cut(ids) for ids in found] == forced == [[*written(after), EOS] for _, after, _ in episodes]
    for ids, (_, after, _) in zip(found.numpy(), episodes, strict=True):
        np.testing.assert_array_equal(read_grid(ids), after)
