"""What all worlds of this family have in common: the dark rooms, and bandits, which are rooms of one cell.

A world is the rules that its tasks share; N agents act in N tasks at once. Cells, actions and rewards are numbers:
where an agent stands, what it does, and which of `reward_values` it gets.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class World(ABC):
    """The rules. size: rows, and columns. start: first cell of every episode. horizon: steps of an episode."""

    size: int
    start: int
    horizon: int

    task_columns: ClassVar[Mapping[str, Any]]
    """Fields of a task in order, as columns of a dataset -> their type."""

    @property
    def n_cells(self) -> int:
        """Cells of the grid."""
        return self.size**2

    @property
    def n_stages(self) -> int:
        """Number of states besides the cell; every reward leads to the next one if there are several."""
        return 1

    @property
    @abstractmethod
    def n_actions(self) -> int:
        """Number of actions."""

    @property
    @abstractmethod
    def reward_values(self) -> np.ndarray:
        """Value of every reward, (R,)."""

    @abstractmethod
    def make_tasks(self, *columns: np.ndarray) -> Any:
        """Return tasks, from their columns.

        Raises:
            ValueError: these rules have no such tasks.
        """

    @abstractmethod
    def step(
        self, tasks: Any, cell_N: np.ndarray, stage_N: np.ndarray, action_N: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step N tasks at once; return the next cells, the next stages, and the rewards."""

    @abstractmethod
    def best_actions(
        self, tasks: Any, cell_N: np.ndarray, stage_N: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return an optimal action of every agent, (N,); `rng` draws one where several are."""

    @abstractmethod
    def worth(self, tasks: Any, action_NT: np.ndarray, reward_NT: np.ndarray) -> np.ndarray:
        """Return what steps in N tasks, T each, add to the return, (N, T)."""

    @abstractmethod
    def random_returns(self, tasks: Any) -> np.ndarray:
        """Return the exact expected return of uniformly random actions in an episode, (N,) float64."""

    @abstractmethod
    def optimal_returns(self, tasks: Any) -> np.ndarray:
        """Return the largest expected return of an episode, (N,) float64, exact."""


@dataclass(frozen=True)
class Family:
    """A world, here called room, and all of its tasks; labels name them for people."""

    room: Any
    tasks: Any
    labels: list[str]
