"""The history models, acting, the metric and the trainer of the dark rooms, each against something simpler."""

import itertools
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import evaluate
import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from sklearn.metrics import accuracy_score
from transformers import AutoConfig, AutoModel, TrainerCallback, TrainingArguments

from tasks.in_context_rl import rollout as rollout_module
from tasks.in_context_rl.building import build_model
from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.encoding import FIELDS, encode, field_sizes
from tasks.in_context_rl.metric import LAST, SHALLOW, ReturnInContext, accuracy_by_depth
from tasks.in_context_rl.model import HistoryConfig, HistoryModel, hybrid_mask
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.rollout import Actor, choose_actions, rollout
from tasks.in_context_rl.rooms import N_ACTIONS, darkroom, key_to_door, optimal_returns, permuted_darkroom
from tasks.in_context_rl.rooms import random_returns as expected_of_random
from tasks.in_context_rl.rows import HistoryRows
from trainers import registry
from trainers.contract import IGNORE, StoredDataset
from trainers.errors import UserError
from trainers.folders import dataset_folder

MODELS = {
    "ad": {"architecture": "ad"},
    "gated": {"architecture": "compressed_ad", "gated": True},
    "ungated": {"architecture": "compressed_ad", "gated": False},
}
COMPRESSED = ["gated", "ungated"]
SCHEDULES = {"half": (4, 2), "little": (5, 1), "nothing": (3, 0), "one": (1, 0), "all but one": (4, 3)}
TINY = {
    "size": 3,
    "n_latents": 3,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_encoder_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "init_scale": 0.3,
    "dropout": 0.0,
}
ROOM = {"size": 5, "horizon": 10, "n_streams": 3, "history_steps": 200, "n_val_tasks": 2, "keep_every": 1}
EVALUATION = {"eval_streams": 2, "eval_episodes": 3, "eval_rollouts": 2}


def build(name, schedule="half", seed=0, **sizes):
    """In float64, so that what is equal is nearly so in every digit."""
    torch.manual_seed(seed)
    window, keep = SCHEDULES[schedule]
    config = HistoryConfig(**{**TINY, **MODELS[name], "window": window, "keep": keep, **sizes})
    return HistoryModel(config).double().eval()


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return request.param


def random_steps(n, length, size=3, seed=0):
    """Any value in every field."""
    rng, sizes = np.random.default_rng(seed), field_sizes(size)
    first = np.cumsum([0, *sizes[:-1]])
    return torch.from_numpy(rng.integers(0, sizes, (n, length, len(FIELDS))) + first)


def random_labels(n, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, N_ACTIONS, (n, length)))


def other_step(steps_F, size=3):
    """A step that differs in every field."""
    sizes = torch.tensor(field_sizes(size))
    first = torch.cumsum(sizes, 0) - sizes
    return (steps_F - first + 1) % sizes + first


def each_changed(steps_1TF):
    """T histories; number t differs from the given one in step t alone."""
    changed = steps_1TF.repeat(steps_1TF.shape[1], 1, 1)
    for place in range(len(changed)):
        changed[place, place] = other_step(changed[place, place])
    return changed


@torch.no_grad()
def logits_of(model, steps):
    return model(steps=steps).logits


def acted(model, steps):
    actor = Actor(model, len(steps))
    return torch.stack([actor.logits(steps[:, place]) for place in range(steps.shape[1])], dim=1)


def gap(one, other):
    return (one - other).abs().max().item() if one.numel() else 0.0


def longest_of(model, depth=3):
    """Steps of a history that ends in the middle of a window, where there is a middle."""
    return model.schedule.length(depth) + (model.schedule.stride + 1) // 2


# --- the schedule


def simulated(window, keep, n_steps):
    """Depth of every step, and the first step that is still seen."""
    seen, depth, found = [], 0, []
    for step in range(n_steps):
        if len(seen) == window:
            seen, depth = seen[window - keep :], depth + 1
        seen.append(step)
        found.append((depth, seen[0]))
    return found


@pytest.mark.parametrize("window", [1, 2, 3, 4, 7, 10, 100])
def test_depths_are_those_of_a_list_from_which_the_oldest_leave(window):
    for keep in sorted({*range(min(window, 8)), window // 2, window - 1}):
        schedule = Schedule(window, keep)
        found = simulated(window, keep, 3 * window + 2)
        assert [schedule.depth(step) for step in range(len(found))] == [depth for depth, _ in found]
        assert all(depth * schedule.stride == first for depth, first in found)
        counted = Counter(depth for depth, _ in found)
        for depth in range(max(counted)):  # of the deepest one not all steps may be there
            assert schedule.length(depth) == sum(counted[less] for less in range(depth + 1))
            assert schedule.depth(schedule.length(depth) - 1) == depth == schedule.depth(schedule.length(depth)) - 1


# --- acting and training


def test_acting_step_by_step_gives_the_logits_of_training(name, schedule):
    model = build(name, schedule)
    steps = random_steps(2, longest_of(model))
    found = acted(model, steps)
    assert found.std() > 0.05
    for length in range(1, steps.shape[1] + 1):  # histories end anywhere in a window
        expected = logits_of(model, steps[:, :length])
        assert expected.shape == (2, length, N_ACTIONS)
        assert gap(found[:, :length], expected) < 1e-9


@pytest.mark.parametrize("sizes", [{"n_latents": 1}, {"n_latents": 7}, {"num_encoder_layers": 1, "hidden_size": 4}])
def test_so_it_does_with_other_sizes_and_many_compressions(sizes):
    model = build("gated", "little", **sizes)
    steps = random_steps(1, longest_of(model, depth=12))
    assert gap(acted(model, steps), logits_of(model, steps)) < 1e-9


def test_so_it_does_within_autocast(name):
    model = build(name).float()
    steps = random_steps(2, longest_of(model))
    with torch.autocast("cpu", torch.bfloat16):
        found = acted(model, steps).float()
    assert 0 < gap(found, logits_of(model, steps)) < 0.2


def test_histories_of_a_batch_know_nothing_of_each_other(name, schedule):
    model = build(name, schedule)
    steps = random_steps(3, longest_of(model))
    together, in_step = logits_of(model, steps), acted(model, steps)
    for row in range(3):
        alone = logits_of(model, steps[row : row + 1])[0]
        assert gap(together[row], alone) < 1e-9 and gap(in_step[row], alone) < 1e-9


# --- what the logits depend on


def test_later_steps_change_no_earlier_logits_but_their_own(name, schedule):
    model = build(name, schedule)
    steps = random_steps(1, longest_of(model, depth=2))
    expected, found = logits_of(model, steps)[0], logits_of(model, each_changed(steps))
    for place in range(len(found)):
        assert gap(found[place, :place], expected[:place]) < 1e-12
        assert gap(found[place, place], expected[place]) > 1e-4


def test_what_has_left_the_window_counts_only_where_it_is_compressed(name, schedule):
    model = build(name, schedule)
    steps = random_steps(1, longest_of(model, depth=2))
    expected, found = logits_of(model, steps)[0], logits_of(model, each_changed(steps))
    gone = 0
    for step, (_, first) in enumerate(simulated(*SCHEDULES[schedule], steps.shape[1])):
        for older in range(step):
            if older >= first:
                assert gap(found[older, step], expected[step]) > 1e-6  # it is still seen
            elif name == "ad":
                assert gap(found[older, step], expected[step]) < 1e-12
            else:
                assert gap(found[older, step], expected[step]) > 1e-9
            gone += older < first
    assert gone


@pytest.mark.parametrize("name", COMPRESSED)
def test_latents_depend_on_their_past_alone(name, schedule):
    model = build(name, schedule)
    stride = model.schedule.stride
    steps = random_steps(1, 3 * stride)
    with torch.no_grad():
        expected, found = model.compressed(model.embed(steps))[0], model.compressed(model.embed(each_changed(steps)))
        shorter = model.compressed(model.embed(steps[:, : 2 * stride]))[0]
    assert expected.shape == (3, TINY["n_latents"], TINY["hidden_size"])
    assert gap(shorter, expected[:2]) < 1e-12
    for place, depth in itertools.product(range(len(found)), range(3)):
        change = gap(found[place, depth], expected[depth])
        assert change > 1e-9 if depth >= place // stride else change < 1e-12


def test_ad_has_no_latents():
    model = build("ad")
    assert model.n_latents == 0 and model.compressed(model.embed(random_steps(1, 9))) is None
    other = build("ad", n_latents=9, num_encoder_layers=1, gated=False)
    assert sum(part.numel() for part in model.parameters()) == sum(part.numel() for part in other.parameters())
    assert gap(logits_of(model, random_steps(1, 9)), logits_of(other, random_steps(1, 9))) == 0


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_last_windows_loss_reaches_the_first_step_through_every_compression(name, schedule, depth):
    model = build(name, schedule)
    length = model.schedule.length(depth)
    x = model.embed(random_steps(2, length)).detach().requires_grad_()
    logits, labels = model.head(model.read(x)), random_labels(2, length)
    last = torch.tensor([model.schedule.depth(place) == depth for place in range(length)])
    (slope,) = torch.autograd.grad(F.cross_entropy(logits[:, last].flatten(0, 1), labels[:, last].flatten()), x)
    assert torch.isfinite(slope).all() and (slope[:, -1].abs().amax(dim=-1) > 0).all()
    gone = slope[:, : depth * model.schedule.stride].abs().amax(dim=-1)
    assert (gone == 0).all() if name == "ad" else (gone > 1e-12).all()


# --- the mask, and the decoder that goes by it

MASK = """
LL...
LL...
LLS..
LLSS.
LLSSS
"""


def test_latents_see_one_another_and_steps_see_latents_and_no_later_step():
    expected = [[sign != "." for sign in line] for line in MASK.split()]
    assert hybrid_mask(2, 3, torch.device("cpu")).tolist() == [[expected]]
    assert hybrid_mask(1, 0, torch.device("cpu")).tolist() == [[[[True]]]]
    assert hybrid_mask(1, 2, torch.device("cpu"))[0, 0].tolist() == torch.ones(3, 3).tril().bool().tolist()
    for n_latents, n_steps in itertools.product(range(1, 5), range(5)):
        mask = hybrid_mask(n_latents, n_steps, torch.device("cpu"))[0, 0]
        assert mask[:n_latents].sum() == n_latents**2 and not mask[:n_latents, n_latents:].any()
        assert mask[n_latents:, :n_latents].all()
        assert torch.equal(mask[n_latents:, n_latents:], torch.ones(n_steps, n_steps).tril().bool())


def turned(vector_D, place):
    """Rotary positions, by complex numbers."""
    half = len(vector_D) // 2
    angle = place * 10_000.0 ** (-torch.arange(half) / half)
    found = torch.complex(*vector_D.chunk(2)) * torch.exp(1j * angle.double())
    return torch.cat([found.real, found.imag])


def slow_attention(layer, x_LD, seen):
    """One head and one place after the other; `seen[i]` are the places that place i sees."""
    query, key, value = (
        part(x_LD).unflatten(-1, (layer.n_heads, -1)) for part in (layer.query, layer.key, layer.value)
    )
    rows = []
    for place, others in enumerate(seen):
        mixed = []
        for head in range(layer.n_heads):
            asked = turned(query[place, head], place)
            score = torch.stack([asked @ turned(key[other, head], other) for other in others])
            mixed.append((score / math.sqrt(len(asked))).softmax(0) @ value[others, head])
        rows.append(torch.cat(mixed))
    return layer.output(torch.stack(rows))


@torch.no_grad()
def slow_decode(model, x_WD, latents_MD):
    n_latents = len(latents_MD)
    hidden = model.input_norm(torch.cat([latents_MD + model.encoder.slots.weight, x_WD]))
    seen = [list(range(max(n_latents, place + 1))) for place in range(n_latents)]
    seen += [list(range(n_latents + step + 1)) for step in range(len(x_WD))]
    for block in model.decoder:
        hidden = hidden + slow_attention(block.self_attention, block.self_norm(hidden), seen)
        hidden = hidden + block.mlp(block.mlp_norm(hidden))
    return model.final_norm(hidden)[n_latents:]


def random_window(model, n_steps, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((1, n_steps, TINY["hidden_size"]), (1, model.n_latents, TINY["hidden_size"]))
    return [torch.from_numpy(rng.standard_normal(shape)) for shape in shapes]


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_decoding_is_attention_written_as_loops(n_steps):
    model = build("gated")
    x, latents = random_window(model, n_steps)
    with torch.no_grad():
        assert gap(model.decode(x, latents)[0], slow_decode(model, x[0], latents[0])) < 1e-5  # angles are in float32


def test_later_steps_do_not_leak_through_the_latents():
    model = build("gated", num_hidden_layers=3)
    x, latents = random_window(model, 4)
    with torch.no_grad():
        expected = model.decode(x, latents)
        for place in range(4):
            later = x.clone()
            later[:, place] *= -1
            found = model.decode(later, latents)
            assert gap(found[:, :place], expected[:, :place]) < 1e-12
            assert (found - expected)[0, place:].abs().amax(dim=-1).min() > 1e-6
        for place in range(model.n_latents):
            other = latents.clone()
            other[:, place] *= -1
            assert (model.decode(x, other) - expected)[0].abs().amax(dim=-1).min() > 1e-6


def test_the_order_of_latents_and_of_steps_counts():
    model = build("gated")
    x, latents = random_window(model, 3)
    with torch.no_grad():
        expected = model.decode(x, latents)
        assert gap(model.decode(x, latents.flip(1)), expected) > 1e-4
        assert gap(model.decode(x[:, [1, 0, 2]], latents)[:, 2], expected[:, 2]) > 1e-4


# --- the compression encoder


def folded(encoder, segment, latents, gate="own"):
    """New latents, with the encoder's own gate or without any."""
    kept = encoder.gate
    encoder.gate = kept if gate == "own" else None
    with torch.no_grad():
        found = encoder(segment, latents)
    encoder.gate = kept
    return found


def test_with_a_gate_new_latents_lie_between_the_old_ones_and_the_candidates():
    model = build("gated", init_scale=1.0)
    segment, old = random_window(model, model.schedule.stride)
    new, candidate = folded(model.encoder, segment, old), folded(model.encoder, segment, old, gate="none")
    assert (torch.minimum(old, candidate) < new).all() and (new < torch.maximum(old, candidate)).all()
    share = ((new - old) / (candidate - old)).detach()
    logit = model.encoder.gate.weight @ torch.cat([old, candidate], -1)[0].T + model.encoder.gate.bias[:, None]
    assert gap(share[0], 1 / (1 + torch.exp(-logit.T))) < 1e-9 and share.std() > 0.1


def test_the_first_compression_knows_no_gate():
    model = build("gated")
    segment, _ = random_window(model, model.schedule.stride)
    assert gap(folded(model.encoder, segment, None), folded(model.encoder, segment, None, gate="none")) == 0


@pytest.mark.parametrize("bias, same_as", [(-1e4, "first"), (1e4, "candidate")])
def test_a_closed_gate_keeps_the_first_latents_and_an_open_one_is_none(bias, same_as):
    model = build("gated")
    x = model.embed(random_steps(2, 4 * model.schedule.stride)).detach()
    with torch.no_grad():
        model.encoder.gate.bias.fill_(bias)
        found = model.compressed(x)
        model.encoder.gate = None
        ungated = model.compressed(x)
    expected = ungated if same_as == "candidate" else found[:, :1].expand_as(found)
    assert gap(found, expected) < 1e-9 and gap(found[:, 0], ungated[:, 0]) == 0
    assert gap(ungated[:, 0], ungated[:, 1]) > 1e-3


def test_without_a_gate_the_latents_are_the_candidates():
    model, gated = build("ungated"), build("gated")
    assert model.encoder.gate is None and gated.encoder.gate is not None
    missing = model.load_state_dict(gated.state_dict(), strict=False)
    assert not missing.missing_keys and set(missing.unexpected_keys) == {"encoder.gate.weight", "encoder.gate.bias"}
    segment, old = random_window(model, model.schedule.stride)
    assert gap(folded(model.encoder, segment, old), folded(gated.encoder, segment, old, gate="none")) == 0


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressing_is_the_encoder_stride_by_stride(name, schedule):
    model = build(name, schedule)
    stride, old, expected = model.schedule.stride, None, []
    x = model.embed(random_steps(2, 3 * stride)).detach()
    for depth in range(3):
        old = folded(model.encoder, x[:, depth * stride : (depth + 1) * stride], old)
        expected.append(old)
    with torch.no_grad():
        assert gap(model.compressed(x), torch.stack(expected, 1)) < 1e-12


def test_new_latents_differ_and_know_the_order_of_the_steps_and_which_latent_was_which():
    model = build("gated")
    segment, old = random_window(model, 4)
    new = folded(model.encoder, segment, old)
    assert min(gap(new[:, one], new[:, other]) for one, other in itertools.combinations(range(new.shape[1]), 2)) > 1e-3
    for changed in (folded(model.encoder, segment.flip(1), old), folded(model.encoder, segment, old.flip(1))):
        assert gap(changed, new) > 1e-4
    plain = folded(model.encoder, segment, old, gate="none")
    assert gap(folded(model.encoder, segment, old.flip(1), gate="none"), plain) > 1e-4  # not through the gate alone


# --- the loss


def test_an_untrained_model_knows_nothing(name):
    model = build(name, init_scale=0.02)
    length = longest_of(model)
    loss = model(steps=random_steps(8, length), labels=random_labels(8, length)).loss
    assert loss.item() == pytest.approx(math.log(N_ACTIONS), abs=0.05)


def test_the_loss_is_torchs_cross_entropy_over_the_labels_that_count(name):
    model = build(name)
    length = longest_of(model)
    steps, labels = random_steps(4, length), random_labels(4, length)
    for share in (0.0, 0.5, 0.95):
        labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(0)) < share] = IGNORE
        out = model(steps=steps, labels=labels)
        counts = labels != IGNORE
        assert counts.any()
        expected = F.cross_entropy(out.logits[counts], labels[counts])
        assert out.loss.item() == pytest.approx(expected.item(), abs=1e-5)
        assert torch.equal(out.logits, model(steps=steps).logits)
        by_hand = [-math.log(chances[label]) for chances, label in zip(
            out.logits[counts].softmax(-1).tolist(), labels[counts].tolist(), strict=True
        )]  # fmt: skip
        assert out.loss.item() == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert model(steps=steps).loss is None


def test_with_nothing_to_predict_the_loss_is_0_and_so_are_its_gradients(name):
    model = build(name)
    length = longest_of(model)
    loss = model(steps=random_steps(2, length), labels=torch.full((2, length), IGNORE)).loss
    loss.backward()
    assert loss.item() == 0
    for part in model.parameters():
        assert part.grad is None or (part.grad == 0).all()


def test_every_weight_learns(name):
    model = build(name)
    length = longest_of(model)
    model(steps=random_steps(8, length), labels=random_labels(8, length)).loss.backward()
    for named, part in model.named_parameters():
        assert part.grad is not None and torch.isfinite(part.grad).all() and part.grad.abs().max() > 0, named


def test_halves_of_a_batch_add_up_to_the_whole(name):
    model = build(name)
    length = longest_of(model)
    steps, labels = random_steps(6, length), random_labels(6, length)
    labels[:2] = IGNORE
    labels[3, 2:] = IGNORE
    count = (labels != IGNORE).sum()
    whole = model(steps=steps, labels=labels).loss.item()
    for number in (count, int(count)):
        halves = [
            model(steps=steps[part], labels=labels[part], num_items_in_batch=number).loss.item()
            for part in (slice(0, 2), slice(2, 6))
        ]
        assert halves[0] == 0 and sum(halves) == pytest.approx(whole, abs=1e-6)
    twice = model(steps=steps, labels=labels, num_items_in_batch=2 * count).loss.item()
    assert twice == pytest.approx(whole / 2, abs=1e-6)


# --- saved and loaded, sizes


def test_saved_and_loaded_the_logits_are_the_same(name, tmp_path):
    model = build(name, depth_weights="0:1" if name == "ad" else "0:1,2:0.5", act_temperature=0.25).float()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, HistoryModel)
    steps = random_steps(2, longest_of(model))
    assert torch.equal(logits_of(loaded, steps), logits_of(model, steps))
    assert torch.equal(acted(loaded, steps), acted(model, steps))
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, HistoryConfig) and config.schedule == model.schedule
    written = {key: value for key, value in model.config.to_dict().items() if not key.startswith("_")}
    assert written.items() >= {**TINY, **MODELS[name], "act_temperature": 0.25}.items()
    found = config.to_dict()
    assert {key: found[key] for key in written if key not in ("dtype", "architectures")} == {
        key: value for key, value in written.items() if key not in ("dtype", "architectures")
    }
    for one, other in zip(config.depths(), model.config.depths(), strict=True):
        assert one.tolist() == other.tolist()


def test_depths_and_their_chances_are_read():
    depth, chance = HistoryConfig(architecture="compressed_ad", depth_weights="0:1,3:2.5, 1:0.5").depths()
    assert depth.tolist() == [0, 3, 1] and chance.tolist() == [0.25, 0.625, 0.125]


DEFAULT = {key: getattr(HistoryModelOptions(), key) for key in ("n_latents", *(set(TINY) - {"size", "n_latents"}))}


@pytest.mark.parametrize("sizes", [{**DEFAULT, "size": 9}, TINY], ids=["default", "tiny"])
def test_there_are_as_many_parameters_as_by_hand(name, sizes):
    config = HistoryConfig(**{**sizes, **MODELS[name], "window": 4, "keep": 2})
    d, m = config.hidden_size, config.n_latents
    attention, mlp = 4 * d * d + d, 3 * d * config.intermediate_size + d  # each with the norm before it
    expected = (4 * config.size + 2 + (5 + 1) + 3 + 2) * d  # the vocabulary
    expected += 3 * d + config.num_hidden_layers * (attention + mlp) + 5 * d
    if name != "ad":
        expected += 2 * m * d + 2 * d + config.num_encoder_layers * (2 * attention + mlp)
        expected += (2 * d * d + d) * (name == "gated")
    assert sum(part.numel() for part in HistoryModel(config).parameters()) == expected


# --- building

SMALL_ROOM = {"size": 3, "start": 4, "horizon": 20, "n_goals": 1, "once": False}
STORED = StoredDataset(Path(), {}, {"room": SMALL_ROOM})
WRONG = {
    "an odd head": ({"hidden_size": 12, "num_attention_heads": 4}, "heads of size 3;"),
    "no whole head": ({"hidden_size": 10, "num_attention_heads": 4}, "heads of size 2.5;"),
    "more heads than numbers": ({"hidden_size": 2, "num_attention_heads": 4}, "heads of size 0.5;"),
    "nothing leaves": ({"window": 5, "keep": 5}, "--keep 5 must be smaller than --window 5"),
    "less than nothing leaves": ({"window": 5, "keep": 6}, "--keep 6 must be smaller than --window 5"),
    "deep weights for ad": ({"architecture": "ad", "depth_weights": "0:1,1:2"}, "is for --architecture compressed_ad"),
    "one deep weight for ad": ({"architecture": "ad", "depth_weights": "1:1"}, "is for --architecture compressed_ad"),
}
UNREADABLE = ["0:1,x", "0:1,1:0", "0:1,0:2", "-1:2", "0:1,-1:2", "0", "", "0:1,", "0:1:2", "0.5:1", "a:1", "0:b"]
UNREADABLE += ["0:1,1:-0.5", "0:nan"]


@pytest.mark.parametrize("case", WRONG)
def test_sizes_that_do_not_fit_are_refused(case):
    given, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence):
        build_model(HistoryModelOptions(**{"architecture": "compressed_ad", **given}), STORED)


@pytest.mark.parametrize("architecture", ["ad", "compressed_ad"])
@pytest.mark.parametrize("weights", UNREADABLE)
def test_depth_weights_that_say_nothing_are_refused(weights, architecture):
    with pytest.raises(UserError, match="cannot be read; write different depths from 0 on, each with a weight above 0"):
        build_model(HistoryModelOptions(architecture=architecture, depth_weights=weights), STORED)


def test_by_default_only_a_model_that_compresses_is_trained_on_compressed_histories():
    plain, folding = (
        build_model(HistoryModelOptions(architecture=name), STORED).config.depths() for name in ("ad", "compressed_ad")
    )
    assert plain[0].tolist() == [0] and folding[0].tolist() == [0, 1, 2, 3]
    assert folding[1] == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("weights", ["0:0", "0:-1", "0:-1,1:-2"])
def test_depth_weights_that_are_nothing_or_less_are_refused(weights):
    with pytest.raises(UserError, match="cannot be read"):
        build_model(HistoryModelOptions(architecture="compressed_ad", depth_weights=weights), STORED)


@pytest.mark.parametrize("architecture, weights", [("ad", "0:3"), ("compressed_ad", "0:1,1:2,5:0.1")])
def test_what_fits_is_built_as_asked_for(architecture, weights):
    small = {key: TINY[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")}
    options = HistoryModelOptions(architecture=architecture, depth_weights=weights, window=7, keep=3, **small)
    model = build_model(options, STORED)
    assert model.config.size == 3 and model.schedule == Schedule(7, 3)
    assert {key: getattr(model.config, key) for key in vars(options)} == vars(options)


# --- the metric


def score(returns, random, optimal, **kwargs):
    return ReturnInContext().compute(
        predictions=np.asarray(returns).tolist(), random=list(random), optimal=list(optimal), **kwargs
    )


def random_returns(n=7, episodes=13, seed=0):
    rng = np.random.default_rng(seed)
    random = rng.uniform(0, 3, n)
    return rng.uniform(-1, 6, (n, episodes)), random, random + rng.uniform(0.5, 9, n)


def test_optimal_returns_are_1_and_random_ones_0():
    _, random, optimal = random_returns()
    optimal = 2 * random + optimal  # so that random actions solve nothing
    best = score(np.repeat(optimal[:, None], 12, axis=1), random, optimal)
    worst = score(np.repeat(random[:, None], 12, axis=1), random, optimal)
    for name in ("normalised_return", "optimum_share", "solved_share", "area_under_curve"):
        assert best[name] == pytest.approx(1)
    assert worst["normalised_return"] == worst["area_under_curve"] == pytest.approx(0) and worst["solved_share"] == 0
    assert best["return_last"] == best["return_first"] == pytest.approx(optimal.mean())
    assert worst["optimum_share"] == pytest.approx(random.mean() / optimal.mean())


@pytest.mark.parametrize("last", [1, 3, LAST, 13, 99])
def test_returns_are_scored_as_by_hand(last):
    returns, random, optimal = random_returns()
    found = score(returns, random, optimal, last=last)
    ends, shares, areas, solved = [], [], [], 0
    for row, low, high in zip(returns.tolist(), random.tolist(), optimal.tolist(), strict=True):
        end = row[max(0, len(row) - last) :]
        ends.append(sum(end) / len(end))
        shares.append((ends[-1] - low) / (high - low))
        areas.append((sum(row) / len(row) - low) / (high - low))
        solved += 2 * ends[-1] >= high
    expected = {
        "normalised_return": math.fsum(shares) / 7,
        "return_last": math.fsum(ends) / 7,
        "return_first": math.fsum(row[0] for row in returns) / 7,
        "optimum_share": math.fsum(ends) / math.fsum(optimal),
        "area_under_curve": math.fsum(areas) / 7,
        "solved_share": solved / 7,
    }
    assert found == pytest.approx(expected) and 0 < solved < 7
    if last == LAST:
        assert score(returns, random, optimal) == found


def test_a_rollout_at_exactly_half_of_its_optimum_is_solved():
    assert score([[2.0], [1.9], [2.1]], [0, 0, 0], [4, 4, 4])["solved_share"] == pytest.approx(2 / 3)


def test_the_order_of_rollouts_is_of_no_account():
    returns, random, optimal = random_returns()
    order = np.random.default_rng(1).permutation(len(returns))
    assert score(returns[order], random[order], optimal[order]) == pytest.approx(score(returns, random, optimal))


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/in_context_rl/metric.py")
    assert metric.compute(predictions=[[1.0, 3.0]], random=[1.0], optimal=[3.0], last=1)["normalised_return"] == 1
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="no episodes"):
            metric.compute(predictions=nothing, random=[0.0] * len(nothing), optimal=[1.0] * len(nothing))
    with pytest.raises(ValueError, match="cannot be normalised"):
        metric.compute(predictions=[[1.0], [1.0]], random=[0.0, 1.0], optimal=[1.0, 1.0])


DEEPEST = Schedule(5, 2).length(SHALLOW)


@pytest.mark.parametrize("n_steps", [3, 9, DEEPEST - 3, DEEPEST, 40])
def test_accuracy_by_depth_is_that_of_scikit_learn(n_steps):
    rng, schedule = np.random.default_rng(0), Schedule(5, 2)
    true, said = rng.integers(0, 2, (2, 6, n_steps))
    depth_T = np.array([depth for depth, _ in simulated(5, 2, n_steps)])
    assert depth_T.tolist() == [schedule.depth(step) for step in range(n_steps)]
    expected = {"accuracy": accuracy_score(true.ravel(), said.ravel())}
    for depth in range(min(SHALLOW, depth_T.max() + 1)):
        where = depth_T == depth
        expected[f"accuracy_depth_{depth}"] = accuracy_score(true[:, where].ravel(), said[:, where].ravel())
    if depth_T.max() >= SHALLOW:
        where = depth_T >= SHALLOW
        expected["accuracy_deeper"] = accuracy_score(true[:, where].ravel(), said[:, where].ravel())
    assert accuracy_by_depth(true == said, depth_T) == pytest.approx(expected)


# --- acting in rooms

WORLDS = {"darkroom": darkroom, "permuted": permuted_darkroom, "key_to_door": key_to_door}


@pytest.fixture(params=WORLDS)
def world(request):
    return WORLDS[request.param](3, 7)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def optimal_player(room, worlds_tasks):
    """An actor that knows its tasks and reads from each step where it is; it walks straight to the next goal."""
    sizes = field_sizes(room.size)
    first, stage = np.cumsum([0, *sizes[:-1]]), np.zeros(len(worlds_tasks), dtype=int)

    def logits(ids):
        found = torch.zeros(len(ids), N_ACTIONS)
        for agent, fields in enumerate((ids.numpy() - first).tolist()):
            row, column, _, _, _, reward, begins = fields
            stage[agent] = 0 if begins else stage[agent] + (reward == 1)
            goals = worlds_tasks.goals_NG[agent]
            goal_row, goal_column = divmod(int(goals[min(stage[agent], len(goals) - 1)]), room.size)
            steps = [goal_row > row, goal_row < row, goal_column > column, goal_column < column, True]
            found[agent, worlds_tasks.moves_NA[agent].tolist().index(steps.index(True))] = 1
        return found

    return lambda model, batch: SimpleNamespace(logits=logits)


@pytest.mark.parametrize("horizon", [3, 7])
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", WORLDS)
def test_who_plays_optimally_gets_the_optimal_returns(name, size, horizon, monkeypatch):
    world = WORLDS[name](size, horizon)
    monkeypatch.setattr(rollout_module, "Actor", optimal_player(world.room, world.tasks))
    found = rollout(build("ad", size=size, act_temperature=0), world.room, world.tasks, 2, seeded())
    expected = optimal_returns(world.room, world.tasks)
    assert found.shape == (len(world.tasks), 2) and found.tolist() == [[best, best] for best in expected.tolist()]


@pytest.mark.parametrize("name", ["ad", "gated"])
def test_uniform_logits_get_the_random_returns(world, name):
    model = build(name, "little").float()
    with torch.no_grad():
        model.head.weight.zero_()
    times = -(-400 // len(world.tasks))
    expected = expected_of_random(world.room, world.tasks).repeat(times)
    found = rollout(model, world.room, world.tasks.repeated(times), 3, seeded())
    for return_N in (found.mean(axis=1), found[:, 0], found[:, -1]):
        error = return_N - expected
        assert abs(error.mean()) < 4 * error.std() / math.sqrt(len(error)) and error.std() > 0
    assert gap(torch.from_numpy(found[:, :1]), torch.from_numpy(found[:, 1:2])) > 0


def replayed(room, goals, moves, actions):
    """Cell, reward and next cell of every step, by rules written anew; episodes end at the horizon."""
    found, shifts = [], [(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)]
    for number, action in enumerate(actions):
        if number % room.horizon == 0:
            cell, stage = room.start, 0
        row, column = (
            min(max(place + by, 0), room.size - 1)
            for place, by in zip(divmod(cell, room.size), shifts[moves[action]], strict=True)
        )
        after = row * room.size + column
        reward = int(stage < len(goals) and after == goals[stage])
        stage += reward if room.once else 0
        found.append((cell, reward, after))
        cell = after
    return found


def overheard(monkeypatch):
    """What a rollout gives to its actor, and what comes back."""
    ids, logits, actions = [], [], []

    def listening(model, batch):
        actor = Actor(model, batch)

        def answered(step_BF):
            ids.append(step_BF.clone())
            logits.append(actor.logits(step_BF))
            return logits[-1]

        return SimpleNamespace(logits=answered)

    def drawing(*args):
        actions.append(choose_actions(*args))
        return actions[-1]

    monkeypatch.setattr(rollout_module, "Actor", listening)
    monkeypatch.setattr(rollout, "chosen", drawing)
    return ids, logits, actions


PLAIN = ("task", "label", "goals", "moves", "random_return", "optimal_return")


def lists(values_NK):
    return pa.FixedSizeListArray.from_arrays(pa.array(values_NK.ravel()), values_NK.shape[1])


def tasks_of(world, n):
    places = np.arange(n) % len(world.tasks)
    return {"goals": lists(world.tasks.goals_NG[places]), "moves": lists(world.tasks.moves_NA[places])}


def as_rows(world, config, columns, split="validation"):
    kinds = {name: np.float16 if name == "probability" else np.uint8 for name in columns}
    table = {name: lists(np.ascontiguousarray(values, dtype=kinds[name])) for name, values in columns.items()}
    n = len(next(iter(columns.values())))
    return HistoryRows(
        split,
        Dataset(pa.table({**dict.fromkeys(PLAIN, np.arange(n)), **tasks_of(world, n), **table})),
        world.room,
        config,
        {"dataset_seed": 0},
    )


@pytest.mark.parametrize("name", ["ad", "gated"])
def test_training_and_acting_read_a_history_alike(world, name, monkeypatch):
    ids, logits, actions = overheard(monkeypatch)
    model, some = build(name, "little"), world.tasks[np.arange(0, len(world.tasks), 4)]
    found = rollout(model, world.room, some, 3, seeded())
    actions_NT = np.stack(actions, axis=1)
    transcript = np.array([
        replayed(world.room, goals, moves, taken)
        for goals, moves, taken in zip(some.goals_NG, some.moves_NA.tolist(), actions_NT.tolist(), strict=True)
    ])  # fmt: skip
    cell, reward, after = np.moveaxis(transcript, -1, 0)
    assert found.tolist() == reward.reshape(len(some), 3, -1).sum(-1).tolist() and found.sum()
    columns = {"cell": cell, "action": actions_NT, "reward": reward, "next_cell": after}
    rows = as_rows(world, model.config, {**columns, "probability": np.ones(cell.shape)})
    batch = rows.__getitems__(list(range(len(rows))))
    assert torch.equal(batch["steps"], torch.stack(ids, dim=1))
    assert batch["labels"].tolist() == actions_NT.tolist()
    assert gap(logits_of(model, batch["steps"]), torch.stack(logits, dim=1)) < 1e-9
    horizon = world.room.horizon
    assert (after[:, horizon - 1] != cell[:, horizon]).any()  # at the end of an episode it counts where one arrived
    nothing = [np.full((len(some), 1), -1)] * 3
    before = [np.hstack([none, part[:, :-1]]) for none, part in zip(nothing, (after, actions_NT, reward), strict=True)]
    begins = np.tile(np.arange(cell.shape[1]) % horizon == 0, (len(some), 1))
    assert encode(world.room.size, cell, *before, begins).tolist() == batch["steps"].tolist()
    for start, length in ((0, 5), (1, 9), (horizon - 1, 3), (horizon, 4), (horizon + 2, horizon)):
        part = rows.stretch(np.arange(len(rows)), np.full(len(rows), start), length)
        assert torch.equal(part["steps"], batch["steps"][:, start : start + length])
        assert torch.equal(part["labels"], batch["labels"][:, start : start + length])


def test_no_two_fields_share_an_id_and_nothing_yet_is_a_value_of_its_own():
    room = darkroom(3).room
    cells = np.arange(room.n_cells)
    first = encode(3, cells, np.full(9, -1), np.full(9, -1), np.full(9, -1), np.ones(9, dtype=bool))
    later = encode(3, cells, cells, cells % N_ACTIONS, cells % 2, np.zeros(9, dtype=bool))
    for field, (least, size) in enumerate(zip(np.cumsum([0, *field_sizes(3)[:-1]]), field_sizes(3), strict=True)):
        both = np.concatenate([first[:, field], later[:, field]])
        assert least <= both.min() and both.max() < least + size
        if FIELDS[field].startswith("arrived") or FIELDS[field] in ("action", "reward"):
            assert (first[:, field] == least + size - 1).all() and (later[:, field] < least + size - 1).all()
    expected = [
        [cell // 3, cell % 3, (cell + 1) % 9 // 3, (cell + 1) % 3, cell % N_ACTIONS, cell % 2, 0] for cell in range(9)
    ]
    moved = encode(3, cells, (cells + 1) % 9, cells % N_ACTIONS, cells % 2, np.zeros(9, dtype=bool))
    assert (moved - np.cumsum([0, *field_sizes(3)[:-1]])).tolist() == expected


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_training_batch_ends_with_the_last_step_of_its_depth(depth):
    world, n_steps = darkroom(3, 5), 25
    config = HistoryConfig(**{**TINY, **MODELS["gated"], "window": 5, "keep": 2, "depth_weights": f"{depth}:1"})
    columns = dict.fromkeys(("cell", "action", "reward", "next_cell", "probability"), np.ones((4, n_steps)))
    length = as_rows(world, config, columns, "train").__getitems__([2, 0, 1])["labels"].shape[1]
    assert config.schedule.depth(length - 1) == depth == config.schedule.depth(length) - 1


# --- drawing actions


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_at_temperature_0_the_likeliest_action_is_taken(kind):
    logits = torch.randn(50, N_ACTIONS, generator=seeded()).to(kind)
    found = choose_actions(logits, 0, seeded())
    assert found.tolist() == [row.index(max(row)) for row in logits.tolist()]
    distinct = torch.tensor([0.0, 3.0, -1.0, 2.0, 2.9]).expand(50, -1).to(kind)
    assert choose_actions(distinct, 1e-3, seeded()).tolist() == [1] * 50


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_actions_are_as_frequent_as_their_chances(temperature):
    logits, n = np.array([0.0, 1.0, -2.0, 0.5, 0.2]), 20_000
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    found = (
        np.bincount(choose_actions(torch.tensor(logits).expand(n, -1), temperature, seeded()), minlength=N_ACTIONS) / n
    )
    assert (np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()


def test_equal_seeds_draw_equal_actions(world):
    logits = torch.randn(300, N_ACTIONS, generator=seeded())
    one, other, third = (choose_actions(logits, 1.0, seeded(seed)).tolist() for seed in (1, 1, 2))
    assert one == other != third
    model, some = build("gated"), world.tasks[np.arange(9)]
    returns = [rollout(model, world.room, some, 2, seeded(seed)).tolist() for seed in (1, 1, 2, 3)]
    assert returns[0] == returns[1] and returns[0] != returns[2:]


# --- the trainer


def stored(folder, **options):
    task = registry.load("darkroom")
    return dataset_folder.build_or_load(task, task.options(**{**ROOM, **EVALUATION, **options}), folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Its test tasks are 1, 13 and 12: not in order, and of different returns."""
    return stored(tmp_path_factory.mktemp("darkroom"))


def make_trainer(data, folder, options, **arguments):
    task = registry.load("darkroom")
    torch.manual_seed(0)
    plain = {"remove_unused_columns": False, "use_cpu": True, "report_to": "none", "dataloader_pin_memory": False}
    given = TrainingArguments(str(folder), **plain, disable_tqdm=True, **arguments)
    small = {key: value for key, value in TINY.items() if key != "size"}
    model = task.load("build_model")(task.model_options(**{**small, **options}), data)
    return task.load("trainer")(task, data, model, given)


WINDOWED = {"architecture": "compressed_ad", "window": 6, "keep": 2, "depth_weights": "0:1,1:2,3:1"}


@pytest.fixture(scope="module")
def trainer(data, tmp_path_factory):
    found = make_trainer(data, tmp_path_factory.mktemp("untrained"), WINDOWED, per_device_eval_batch_size=64)
    found.network.eval()
    return found


@pytest.fixture(scope="module", params=["validation", "test"])
def rows(request, trainer):
    return trainer.rows(request.param)


def scored(trainer, rows, right, returned):
    """All actions right or none, and the same return in every episode of a task."""
    n_tasks = len(rows.tasks()[0])
    return_KRE = np.broadcast_to(np.asarray(returned, dtype=float)[..., None, None], (n_tasks, 2, 3))
    return trainer.score(rows, np.full((len(rows), rows.n_steps), right), return_KRE)


def perfect(trainer, rows):
    return scored(trainer, rows, True, rows.tasks()[1]["optimal_return"])


def nonsense(trainer, rows):
    return scored(trainer, rows, False, np.zeros(len(rows.tasks()[0])))


def test_an_untrained_model_is_assessed(trainer, rows):
    found = trainer.assess(rows)
    assert np.isfinite(list(found.metrics.values())).all()
    assert found.values.mean() == pytest.approx(found.metrics["accuracy"]) and len(found.values) == len(rows)
    assert found.metrics == trainer.assess(rows).metrics  # it acts by the same seed every time


def test_perfect_predictions_and_returns_are_best_and_nonsense_worst(trainer, rows):
    best, worst = perfect(trainer, rows).metrics, nonsense(trainer, rows).metrics
    for name in ("normalised_return", "optimum_share", "area_under_curve", "solved_share"):
        assert best[name] == pytest.approx(1)
    accuracies = [name for name in best if name.startswith("accuracy")]
    assert {"accuracy", "accuracy_depth_0", "accuracy_deeper"} <= set(accuracies)
    assert all(best[name] == 1 and worst[name] == 0 for name in accuracies)
    assert worst["solved_share"] == worst["optimum_share"] == worst["return_last"] == 0 > worst["normalised_return"]
    random = scored(trainer, rows, False, rows.tasks()[1]["random_return"]).metrics
    assert random["normalised_return"] == pytest.approx(best["baseline_normalised_return"]) == 0


def test_who_acts_optimally_is_assessed_as_optimal(trainer, rows, monkeypatch):
    every, facts = rows.tasks()
    monkeypatch.setattr(rollout_module, "Actor", optimal_player(rows.room, every.repeated(EVALUATION["eval_rollouts"])))
    monkeypatch.setattr(trainer.network.config, "act_temperature", 0)
    found = trainer.assess(rows)
    assert found.metrics["normalised_return"] == pytest.approx(1) == found.metrics["area_under_curve"]
    assert found.samples["first"] == found.samples["optimal"] == facts["optimal_return"].tolist()


def test_what_stands_beside_does_not_depend_on_the_model(trainer, rows, monkeypatch):
    best, worst = (
        {name: value for name, value in part.metrics.items() if name.startswith(("baseline_", "reference_", "loss_"))}
        for part in (perfect(trainer, rows), nonsense(trainer, rows))
    )
    assert best == worst and {"loss_floor", "baseline_accuracy"} <= set(best)

    rng, shape = np.random.default_rng(0), rows.columns["reward"].shape  # a source that does not settle
    monkeypatch.setitem(rows.columns, "reward", rng.integers(0, 2, shape, dtype=np.uint8))
    best = perfect(trainer, rows).metrics
    table = [{**row, "reward": reward} for row, reward in zip(rows.table, rows.columns["reward"].tolist(), strict=True)]
    counted = Counter(action for row in table for action in row["action"])
    assert best["baseline_accuracy"] == pytest.approx(max(counted.values()) / sum(counted.values()))
    ends = [row["reward"][-2 * ROOM["horizon"] :] for row in table]  # a tenth of the episodes
    means = [sum(end) / 2 for end in ends]
    assert best["reference_source_return_last"] == pytest.approx(np.mean(means))
    shares = [
        (mean - row["random_return"]) / (row["optimal_return"] - row["random_return"])
        for mean, row in zip(means, table, strict=True)
    ]
    assert best["reference_source_normalised_return"] == pytest.approx(np.mean(shares))


def test_the_loss_floor_is_that_of_the_recorded_policy_and_below_what_knows_less(trainer, rows, data):
    found = nonsense(trainer, rows).metrics["loss_floor"]
    recorded = [-math.log(chance) for row in rows.table for chance in row["probability"]]
    assert found == pytest.approx(np.mean(recorded), abs=1e-6)
    counts_CA = np.ones((ROOM["size"] ** 2, N_ACTIONS))  # what can be known without the history
    for row in data.splits["train"]:
        np.add.at(counts_CA, (row["cell"], row["action"]), 1)
    chance_CA = counts_CA / counts_CA.sum(axis=1, keepdims=True)
    by_cell = [
        -math.log(chance_CA[c, a]) for row in rows.table for c, a in zip(row["cell"], row["action"], strict=True)
    ]
    assert found < np.mean(by_cell) and found < math.log(N_ACTIONS)


def test_every_figure_is_drawn_and_the_table_has_one_row_per_task(trainer, rows):
    for assessment in (perfect(trainer, rows), nonsense(trainer, rows)):
        assert set(assessment.figures) == {"curves.png", "per_task.png"}
        for draw in assessment.figures.values():
            draw().draw_without_rendering()
        labels = list(dict.fromkeys(rows.table["label"]))
        assert assessment.samples["task"] == labels
        assert {len(column) for column in assessment.samples.values()} == {len(labels)}
    assert perfect(trainer, rows).samples[f"last {LAST}"] == perfect(trainer, rows).samples["optimal"]


def test_predictions_do_not_depend_on_the_batch_they_are_made_in(trainer, monkeypatch):
    rows = trainer.rows("validation")
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", len(rows))
    expected = trainer._predicted(rows)
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", 1)
    assert len(rows) > 1 and (trainer._predicted(rows) == expected).all()
    batch = rows.__getitems__(list(range(len(rows))))
    right = logits_of(trainer.network, batch["steps"]).argmax(-1) == batch["labels"]
    assert expected.shape == (len(rows), rows.n_steps) and (torch.from_numpy(expected) == right).all()


def test_a_described_row_shows_the_first_episode(trainer, data):
    shown, row = trainer.describe_row("validation", 0), data.splits["validation"][0]
    assert row["label"] in shown
    for name in ("cell", "reward", "next_cell", "action"):
        assert str(row[name][: ROOM["horizon"]]) in shown


def test_depths_that_no_history_reaches_are_refused(data, tmp_path):
    with pytest.raises(UserError, match="takes 206 steps, and the histories have 200"):
        make_trainer(data, tmp_path, {**WINDOWED, "depth_weights": "0:1,50:1"})
    deepest = make_trainer(data, tmp_path, {**WINDOWED, "depth_weights": "0:1,48:1"}).train_dataset
    assert deepest.stretch(np.zeros(1, int), deepest.draw_start(np.zeros(1, int), 198), 198)["labels"].shape == (1, 198)


# --- a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer that has trained (in 3 x 3 cells), the losses before and after, what it had learnt from at each log."""
    arguments = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 64, "logging_steps": 5}
    trainer = make_trainer(
        stored(tmp_path_factory.mktemp("small"), size=3),
        tmp_path_factory.mktemp("trained"),
        {**WINDOWED, "hidden_size": 16, "intermediate_size": 24, "num_encoder_layers": 1, "init_scale": 0.05},
        **arguments,
        max_steps=60,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        save_strategy="no",
    )
    before = trainer.evaluate()
    learnt, logged, config = Counter(), [], trainer.network.config

    def counting(model, args, batch):
        if model.training:
            n_rows, length = batch["labels"].shape
            learnt[config.schedule.depth(length - 1)] += n_rows

    class Listening(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append((dict(logs), dict(learnt)))

    hook = trainer.network.register_forward_pre_hook(counting, with_kwargs=True)
    trainer.add_callback(Listening())
    trainer.train()
    hook.remove()
    trainer.network.eval()
    return trainer, before, logged, trainer.evaluate()


def test_the_logged_depths_add_up_to_the_rows_trained_on(trained):
    _, _, logged, _ = trained
    logs = [(log, learnt) for log, learnt in logged if "loss" in log]
    assert len(logs) == 12
    for number, (log, learnt) in enumerate(logs, start=1):
        counts = {int(name.rsplit("_", 1)[1]): value for name, value in log.items() if name.startswith("rows_of_depth")}
        assert set(counts) <= {0, 1, 3} and {depth: rows for depth, rows in counts.items() if rows} == learnt
        epochs, batches = divmod(5 * number, 3)  # of 18 rows: 8, 8 and 2
        assert sum(learnt.values()) == 18 * epochs + 8 * batches
    assert set(learnt) == {0, 1, 3} and max(learnt, key=learnt.get) == 1  # of double weight


def test_a_run_learns_something_but_not_more_than_there_is_to_know(trained):
    trainer, before, _, after = trained
    uniform = math.log(N_ACTIONS)
    assert before["eval_validation_loss"] == pytest.approx(uniform, abs=0.15)
    assert after["eval_validation_loss"] < uniform - 0.1
    for split in ("validation", "test"):
        rows = trainer.rows(split)
        batch = rows.__getitems__(list(range(len(rows))))
        log_chances = logits_of(trainer.network, batch["steps"]).double().log_softmax(-1)
        nats = -log_chances.gather(-1, batch["labels"][..., None])[..., 0].numpy()
        floor = -np.log(rows.columns["probability"].astype(float))
        # Given the past, the difference of each step has a mean that is no less than 0: differences from it are
        # uncorrelated, so their error is that of independent ones.
        more = nats - floor
        assert more.mean() > -3 * more.std() / math.sqrt(more.size)
        if split == "validation":
            assert nats.mean() == pytest.approx(after["eval_validation_loss"], abs=1e-5)
            assert floor.mean() == pytest.approx(after["eval_validation_loss_floor"], abs=1e-9)


def test_an_evaluation_reports_the_task_that_chooses_the_checkpoint(trained):
    trainer, before, _, after = trained
    for metrics in (before, after):
        name = f"eval_validation_{trainer.task.primary_metric}"
        assert name in metrics and np.isfinite([value for value in metrics.values()]).all()
    assert set(trainer.assessments) == {"validation"}
