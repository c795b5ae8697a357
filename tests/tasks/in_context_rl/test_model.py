"""The history models: what logits depend on, the mask, the loss, files and sizes, against something simpler."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel

from tasks.in_context_rl.model import HistoryConfig, HistoryModel, hybrid_mask
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.rooms import N_ACTIONS
from tests.helpers import gap
from trainers.contract import IGNORE

from .model_helpers import (
    COMPRESSED,
    MODELS,
    SCHEDULES,
    TINY,
    acted,
    build,
    each_changed,
    logits_of,
    longest_of,
    random_labels,
    random_steps,
    random_window,
    simulated,
)

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
        expected, found = model.compress(model.embed(steps))[0], model.compress(model.embed(each_changed(steps)))
        shorter = model.compress(model.embed(steps[:, : 2 * stride]))[0]
    assert expected.shape == (3, TINY["n_latents"], TINY["hidden_size"])
    assert gap(shorter, expected[:2]) < 1e-12
    for place, depth in itertools.product(range(len(found)), range(3)):
        change = gap(found[place, depth], expected[depth])
        assert change > 1e-9 if depth >= place // stride else change < 1e-12


def test_ad_has_no_latents():
    model = build("ad")
    assert model.n_latents == 0 and model.compress(model.embed(random_steps(1, 9))) is None
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


def test_depths_and_their_shares_are_read():
    depth, share = HistoryConfig(architecture="compressed_ad", depth_weights="0:1,3:2.5, 1:0.5").depths()
    assert depth.tolist() == [0, 1, 3] and share.tolist() == [0.25, 0.125, 0.625]


def test_weights_are_factors_of_the_loss_of_every_action(name):
    model, (steps, labels) = build(name), (random_steps(3, 9), random_labels(3, 9))
    weights = torch.from_numpy(np.random.default_rng(0).uniform(0, 2, (3, 9)))
    nats = -logits_of(model, steps).log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    found = model(steps=steps, labels=labels, weights=weights.float()).loss
    assert found.item() == pytest.approx((nats * weights).mean().item(), rel=1e-5)
    found = model(steps=steps, labels=labels, weights=weights.float(), num_items_in_batch=50).loss
    assert found.item() == pytest.approx((nats * weights).sum().item() / 50, rel=1e-5)
    assert model(steps=steps, labels=labels).loss.item() == pytest.approx(nats.mean().item(), rel=1e-5)


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
