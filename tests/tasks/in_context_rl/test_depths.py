"""Depths have the shares of the loss that are asked for, counted step by step."""

import numpy as np
import pytest

from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.depths import plan_depths
from tasks.in_context_rl.model import HistoryConfig

from .model_helpers import simulated

CASES = {
    "as many as steps": ((25, 5), {0: 25, 1: 20, 2: 20}),
    "deeper ones more": ((25, 5), {0: 1, 1: 2, 2: 3, 3: 4}),
    "deeper ones much less": ((25, 5), {0: 10, 1: 4, 2: 1}),
    "one between less than deeper stretches bring": ((25, 5), {0: 75, 1: 5, 2: 20}),
    "gaps": ((52, 10), {0: 32.3, 1: 21.1, 2: 15.5, 3: 9.7, 7: 15.2, 15: 6.2}),
    "little stays": ((3, 0), {0: 1, 2: 1, 5: 1}),
    "one step moves on": ((4, 3), {0: 5, 4: 1}),
    "only deep": ((10, 2), {3: 1}),
    "no compression": ((100, 50), {0: 1}),
}


def shares_counted(plan, window, keep):
    """Part of the loss of a batch that belongs to each depth, mean over the batches that are drawn."""
    depths, shares = plan.depth_D.tolist(), np.zeros(len(plan.depth_D))
    for depth, chance in zip(depths, plan.chance_D.tolist(), strict=True):
        every = [found for found, _ in simulated(window, keep, 2000) if found <= depth]
        for step in every:
            place = next(place for place, listed in enumerate(depths) if listed >= step)
            shares[place] += chance * plan.weight_D[place] / len(every)
    return shares


@pytest.mark.parametrize("case", CASES)
def test_every_depth_has_its_share_of_the_loss(case):
    (window, keep), weights = CASES[case]
    share = np.array(list(weights.values())) / sum(weights.values())
    plan = plan_depths(Schedule(window, keep), np.array(list(weights)), share)
    assert shares_counted(plan, window, keep) == pytest.approx(share)
    assert plan.chance_D.sum() == pytest.approx(1) and (plan.chance_D >= 0).all() and (plan.weight_D > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_what_drawing_can_give_needs_no_weights(seed):
    rng = np.random.default_rng(seed)
    schedule, depth_D = Schedule(9, int(rng.integers(9))), np.array([0, 1, 4, 6])
    chance_D = rng.dirichlet(np.ones(4))
    drawn = plan_depths(schedule, depth_D, np.full(4, 0.25))
    parts = [drawn.counts(schedule.length(depth)) / schedule.length(depth) for depth in depth_D.tolist()]
    plan = plan_depths(schedule, depth_D, chance_D @ np.array(parts))
    assert plan.chance_D == pytest.approx(chance_D) and (plan.weight_D == 1).all()


@pytest.mark.parametrize(
    ("window", "keep", "now"),
    [(25, 5, "0:32.5,1:21,2:15.5,3:9.7,7:15.2,15:6.1"), (52, 10, "0:32.3,1:21.1,2:15.5,3:9.7,7:15.2,15:6.2")],
)
def test_the_configs_draw_as_when_weights_were_of_batches(window, keep, now):
    plan = HistoryConfig(architecture="compressed_ad", window=window, keep=keep, depth_weights=now).depth_plan()
    assert plan.chance_D == pytest.approx(np.array([1, 2, 3, 4, 4, 2]) / 16, abs=0.0025)
    assert (plan.weight_D == 1).all()
