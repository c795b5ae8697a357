"""Muon over all matrices of one shape together: PyTorch's own updates."""

import pytest
import torch

from trainers.optim.muon_by_shape import MuonByShape, orthogonalise

SHAPES = [(16, 16), (16, 16), (48, 16), (16, 48), (48, 16), (1, 16)]


def matrices():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"weight_decay": 0.0, "ns_steps": 3, "momentum": 0.5}])
def test_the_updates_are_those_of_pytorch(options):
    ours, theirs = matrices(), matrices()
    given = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw", **options}
    pair = MuonByShape(ours, **given), torch.optim.Muon(theirs, **given)
    for step in range(4):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            one.grad = None if number == 1 and step % 2 else torch.randn_like(one)  # some are frozen for a step
            other.grad = None if one.grad is None else one.grad.clone()
        for optimizer in pair:
            optimizer.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    states = [optimizer.state_dict() for optimizer in pair]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    assert states[0]["state"].keys() == states[1]["state"].keys()


def test_singular_values_become_about_one():
    torch.manual_seed(0)
    options = torch.optim.Muon([torch.zeros(1, 1)]).defaults
    for shape in SHAPES[:-1]:
        values = torch.linalg.svdvals(orthogonalise(torch.randn(3, *shape), options).float())
        assert values.min() > 0.5 and values.max() < 1.3


def test_nothing_becomes_nothing():
    options = torch.optim.Muon([torch.zeros(1, 1)]).defaults
    assert not orthogonalise(torch.zeros(2, 4, 8), options).any()
