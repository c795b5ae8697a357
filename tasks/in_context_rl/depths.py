"""Depths of training stretches: how often each is drawn, and what its steps weigh, for given shares of the loss.

A stretch of some depth has the steps of all shallower ones too. So the share of a depth in the loss is not how often
its stretches are drawn. Where drawing alone can give the shares, it does, and every step weighs the same; the deepest
stretches are drawn at most always, and what is then still missing is made up by weights.
"""

from dataclasses import dataclass

import numpy as np

from tasks.in_context_rl.compression import Schedule


@dataclass(frozen=True)
class DepthPlan:
    """D depths, in order: chance_D of a batch to be of each, weight_D of the loss of its steps.

    A step between two of the depths counts as one of the deeper.
    """

    schedule: Schedule
    depth_D: np.ndarray
    chance_D: np.ndarray
    weight_D: np.ndarray

    def places(self, length: int) -> np.ndarray:
        """Return for every step of a stretch which of the depths it counts as, (T,)."""
        return step_places(self.schedule, self.depth_D, length)

    def counts(self, length: int) -> np.ndarray:
        """Return how many steps of a stretch count as each depth, (D,)."""
        return np.bincount(self.places(length), minlength=len(self.depth_D))


def plan_depths(schedule: Schedule, depth_D: np.ndarray, share_D: np.ndarray) -> DepthPlan:
    """Return how to draw and to weigh, so that the steps of each depth have these shares of the loss.

    The loss of a batch is a mean over its steps, so a depth's share is the mean over batches of the part that it has in
    each; where gradients of several batches are accumulated, longer ones count more and the shares are near these.

    Args:
        depth_D: in order. share_D: above 0, of sum 1.
    """
    lengths = [schedule.length(depth) for depth in depth_D.tolist()]
    counts = [np.bincount(step_places(schedule, depth_D, n), minlength=len(depth_D)) for n in lengths]
    part_DD = np.array(counts) / np.array(lengths)[:, None]  # of each depth, in a stretch of each
    chance_D = np.zeros(len(depth_D))
    for place in reversed(range(len(depth_D))):
        missing = share_D[place] - chance_D @ part_DD[:, place]
        chance_D[place] = max(0.0, min(missing / part_DD[place, place], 1 - chance_D.sum()))
    weight_D = share_D / (chance_D @ part_DD)
    return DepthPlan(schedule, depth_D, chance_D, np.ones_like(weight_D) if np.allclose(weight_D, 1) else weight_D)


def step_places(schedule: Schedule, depth_D: np.ndarray, length: int) -> np.ndarray:
    """Return for every step of a stretch the place of its depth among D depths, the next deeper one if it is none."""
    return np.searchsorted(depth_D, [schedule.depth(step) for step in range(length)])
