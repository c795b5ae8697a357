"""Bandits: arms with Gaussian rewards, of which one brings most on average. A room of one cell, its actions the arms.

The first experiment of the decision-pretrained transformer (Lee et al. 2023, "Supervised Pretraining Can Learn
In-Context Reinforcement Learning"): means are uniform in [0, 1], and all arms have the same standard deviation, 0.3 in
the published code. Nothing ever begins anew; an episode is a number of pulls that share a point of the curve.

A reward is rounded to one of `N_LEVELS` values, which reach `REACH` standard deviations beyond the means, so that a
model reads it as one of so many ids. A return counts the mean of the arm that was pulled and not the noise, as regret
does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from tasks.in_context_rl.worlds import Family, World

N_LEVELS, REACH = 61, 3.5


@dataclass(frozen=True)
class Bandit(World):
    """Rules of a bandit. n_arms: K. reward_sd: standard deviation of the reward of every arm."""

    n_arms: int
    reward_sd: float

    task_columns: ClassVar = {"means": np.float64}

    @property
    def n_actions(self) -> int:
        """One for each arm."""
        return self.n_arms

    @cached_property
    def reward_values(self) -> np.ndarray:
        """Value of every reward, (R,), equally far apart."""
        return np.linspace(-REACH * self.reward_sd, 1 + REACH * self.reward_sd, N_LEVELS)

    def make_tasks(self, *columns: np.ndarray) -> "BanditTasks":
        """Return tasks, from their means."""
        (mean_NA,) = columns
        if mean_NA.shape[1] != self.n_arms or not ((mean_NA >= 0) & (mean_NA <= 1)).all():
            raise ValueError("a mean is missing, or not between 0 and 1")
        return BanditTasks(mean_NA)

    def step(
        self,
        tasks: "BanditTasks",
        cell_N: np.ndarray,
        stage_N: np.ndarray,
        action_N: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pull an arm in each of N tasks; return the cell and the stage, which stay, and the rewards."""
        drawn_N = rng.normal(tasks.mean_NA[np.arange(len(tasks)), action_N], self.reward_sd)
        first, apart = self.reward_values[0], self.reward_values[1] - self.reward_values[0]
        return cell_N, stage_N, np.rint((drawn_N - first) / apart).clip(0, N_LEVELS - 1).astype(np.uint8)

    def best_actions(
        self, tasks: "BanditTasks", cell_N: np.ndarray, stage_N: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return the arm that brings most, (N,)."""
        return tasks.mean_NA.argmax(axis=1)

    def worth(self, tasks: "BanditTasks", action_NT: np.ndarray, reward_NT: np.ndarray) -> np.ndarray:
        """Return the mean of the arm that every action pulled, (N, T)."""
        return np.take_along_axis(tasks.mean_NA, action_NT.astype(np.int64), axis=1)

    def random_returns(self, tasks: "BanditTasks") -> np.ndarray:
        """Return the expected return of random pulls, (N,)."""
        return self.horizon * tasks.mean_NA.mean(axis=1)

    def optimal_returns(self, tasks: "BanditTasks") -> np.ndarray:
        """Return the expected return of the best arm, (N,)."""
        return self.horizon * tasks.mean_NA.max(axis=1)


@dataclass(frozen=True)
class BanditTasks:
    """N tasks of one bandit: mean_NA, the mean reward of each arm."""

    mean_NA: np.ndarray

    def __len__(self) -> int:
        return len(self.mean_NA)

    def __getitem__(self, chosen: Sequence[int] | np.ndarray) -> "BanditTasks":
        return BanditTasks(self.mean_NA[chosen])

    def columns(self) -> tuple[np.ndarray, ...]:
        """Return what `Bandit.make_tasks` makes them of."""
        return (self.mean_NA,)

    def repeated(self, times: int) -> "BanditTasks":
        """Repeat every task `times` times in a row."""
        return BanditTasks(self.mean_NA.repeat(times, 0))


def gaussian_bandit(
    n_arms: int = 5, horizon: int = 10, reward_sd: float = 0.3, n_tasks: int = 1, seed: int = 0
) -> Family:
    """Return tasks whose means are drawn uniformly from [0, 1]."""
    mean_NA = np.random.default_rng(seed).random((n_tasks, n_arms))
    labels = ["means " + " ".join(f"{mean:.2f}" for mean in mean_A) for mean_A in mean_NA.tolist()]
    return Family(Bandit(1, 0, horizon, n_arms, reward_sd), BanditTasks(mean_NA), labels)
