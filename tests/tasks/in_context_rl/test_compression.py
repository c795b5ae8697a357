"""When histories are compressed, and the compression encoder, stride by stride."""

import itertools
from collections import Counter

import pytest
import torch

from tasks.in_context_rl.compression import Schedule
from tests.helpers import gap

from .model_helpers import COMPRESSED, build, random_steps, random_window, simulated


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
        found = model.compress(x)
        model.encoder.gate = None
        ungated = model.compress(x)
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
        assert gap(model.compress(x), torch.stack(expected, 1)) < 1e-12


def test_new_latents_differ_and_know_the_order_of_the_steps_and_which_latent_was_which():
    model = build("gated")
    segment, old = random_window(model, 4)
    new = folded(model.encoder, segment, old)
    assert min(gap(new[:, one], new[:, other]) for one, other in itertools.combinations(range(new.shape[1]), 2)) > 1e-3
    for changed in (folded(model.encoder, segment.flip(1), old), folded(model.encoder, segment, old.flip(1))):
        assert gap(changed, new) > 1e-4
    plain = folded(model.encoder, segment, old, gate="none")
    assert gap(folded(model.encoder, segment, old.flip(1), gate="none"), plain) > 1e-4  # not through the gate alone
