"""Rules by which arms of a bandit are pulled: sources of histories, and what models are measured by.

ucb       the largest upper confidence bound: mean + sd * sqrt(2 log(1 + t log(t)^2) / pulls), every arm once at first
          (Lattimore and Szepesvari 2020, "Bandit Algorithms", algorithm 6)
thompson  every arm with the exact probability that it is the best (Thompson 1933), as means are uniform in [0, 1]: what
          a perfect model of the best arm does, which `dpt` learns to be
gittins   the largest Gittins index for the pulls that are left (`gittins`): of what can be computed the best on average
          (Lattimore 2016, "Regret Analysis of the Finite-Horizon Gittins Index Strategy for Multi-Armed Bandits")

All know the standard deviation of the rewards, the last one also how many pulls are to come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.in_context_rl.bandits import Bandit, BanditTasks
from tasks.in_context_rl.gittins import PRIOR_MEAN, PRIOR_VARIANCE, index_bonus

RULES = ("ucb", "thompson", "gittins")
_POINTS = 100  # of [0, 1], in the posterior of a mean
_LEAST = 1e-6  # chance; what is likelier can be kept as float16


@dataclass(frozen=True)
class ArmRule:
    """A rule as a source of histories; `name` is one of `RULES`."""

    name: str

    def policy(self, room: Bandit, tasks: BanditTasks, n_steps: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return how N agents pull, and how they learn from a pull."""
        if self.name == "thompson":
            thompson = Thompson(room, len(tasks))
            return thompson.chances, thompson.observe
        known = Pulls(room, len(tasks))
        index = known.upper_bounds if self.name == "ucb" else known.gittins_index

        def chances(state_N: np.ndarray, number: int) -> np.ndarray:
            index_NA = index(number, n_steps)
            best_NA = index_NA == index_NA.max(axis=1, keepdims=True)
            return best_NA / best_NA.sum(axis=1, keepdims=True, dtype=np.float32)

        return chances, known.observe


class Pulls:
    """What N agents have seen: how often each arm was pulled, count_NA, and the sum of its rewards, sum_NA."""

    def __init__(self, room: Bandit, n: int) -> None:
        self.room, self.every_N = room, np.arange(n)
        self.count_NA, self.sum_NA = np.zeros((n, room.n_arms), dtype=np.int64), np.zeros((n, room.n_arms))

    def observe(self, state_N: np.ndarray, action_N: np.ndarray, reward_N: np.ndarray, next_N: np.ndarray) -> None:
        """Count a pull."""
        self.count_NA[self.every_N, action_N] += 1
        self.sum_NA[self.every_N, action_N] += self.room.reward_values[reward_N]

    def upper_bounds(self, number: int, n_steps: int) -> np.ndarray:
        """Return the upper confidence bound of every arm, (N, A)."""
        t, count_NA = number + 1, np.maximum(self.count_NA, 1)
        radius_NA = self.room.reward_sd * np.sqrt(2 * np.log(1 + t * np.log(t) ** 2) / count_NA)
        return np.where(self.count_NA == 0, np.inf, self.sum_NA / count_NA + radius_NA)

    def gittins_index(self, number: int, n_steps: int) -> np.ndarray:
        """Return the Gittins index of every arm, (N, A)."""
        bonus_CL = index_bonus(n_steps, self.room.reward_sd)
        weight_NA = self.count_NA * PRIOR_VARIANCE / self.room.reward_sd**2
        mean_NA = (PRIOR_MEAN + self.sum_NA * PRIOR_VARIANCE / self.room.reward_sd**2) / (1 + weight_NA)
        return mean_NA + bonus_CL[self.count_NA, n_steps - number]


class Thompson:
    """Exact posterior of every arm's mean on points of [0, 1]: at_NAX, its share there, and below_NAX, that below."""

    def __init__(self, room: Bandit, n: int) -> None:
        self.room, self.every_N = room, np.arange(n)
        self.point_X = (np.arange(_POINTS) + 0.5) / _POINTS
        self.log_NAX = np.zeros((n, room.n_arms, _POINTS), dtype=np.float32)
        self.at_NAX = np.full_like(self.log_NAX, 1 / _POINTS)
        self.below_NAX = self.at_NAX.cumsum(axis=-1) - self.at_NAX / 2

    def chances(self, state_N: np.ndarray, number: int) -> np.ndarray:
        """Return the probability of every arm to be the best, (N, A)."""
        all_below_NX = self.below_NAX.prod(axis=1)
        chance_NA = (self.at_NAX / self.below_NAX.clip(1e-30) * all_below_NX[:, None]).sum(axis=-1)
        chance_NA /= chance_NA.sum(axis=1, keepdims=True)
        return np.where(chance_NA < _LEAST, 0, chance_NA)

    def observe(self, state_N: np.ndarray, action_N: np.ndarray, reward_N: np.ndarray, next_N: np.ndarray) -> None:
        """Learn from a pull."""
        pulled, apart_NX = (self.every_N, action_N), self.room.reward_values[reward_N][:, None] - self.point_X
        self.log_NAX[pulled] -= (apart_NX / self.room.reward_sd) ** 2 / 2
        log_NX = self.log_NAX[pulled]
        share_NX = np.exp(log_NX - log_NX.max(axis=1, keepdims=True))
        at_NX = share_NX / share_NX.sum(axis=1, keepdims=True)
        self.at_NAX[pulled], self.below_NAX[pulled] = at_NX, at_NX.cumsum(axis=1) - at_NX / 2
