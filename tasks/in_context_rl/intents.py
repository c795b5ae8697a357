"""Sources that know the rules: histories of a yardstick, with the exact probability of each of its actions.

A yardstick acts for a task that it means, which nobody sees. What it does next, given all that it has seen and done so
far, follows from what it may mean: these beliefs are filtered here, and actions are drawn by them. That gives the same
histories as drawing what it means, and the least loss that a model which imitates it can have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.in_context_rl.rooms import Room, RoomTasks
from tasks.in_context_rl.yardsticks import Posterior


@dataclass(frozen=True)
class Yardstick:
    """A yardstick as a source; `name` is one of `yardsticks.YARDSTICKS`."""

    name: str

    def policy(self, room: Room, tasks: RoomTasks, n_steps: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return how N agents act, and how they learn from a step."""
        intents = Intents(self.name, room, len(tasks))
        return intents.chances, intents.observe


class Intents:
    """What N agents may mean: meant_NSGP, for each goal in turn (S) the chances of its cell (G) and of the order (P).

    The goals are drawn and ruled out each by itself, so none says anything about another one.
    """

    def __init__(self, name: str, room: Room, n: int) -> None:
        self.name, self.room, self.posterior, self.every_N = name, room, Posterior(room, n), np.arange(n)
        self.cell_G = np.flatnonzero(self.posterior.goal_NGC[0].any(axis=0))
        self.chance_CGM = best_move_chances(room)[:, self.cell_G]
        self.meant_NSGP = self._drawn()

    def chances(self, state_N: np.ndarray, number: int) -> np.ndarray:
        """Return the probability of every action, (N, A), in the step with this number."""
        if self.name == "matching" or number % self.room.horizon == 0:
            self.meant_NSGP = self._drawn()
        stage_N, cell_N = np.divmod(state_N, self.room.n_cells)
        self.goal_N = np.minimum(stage_N, self.room.n_goals - 1)
        self.chance_NGPA = self.chance_CGM[cell_N][:, :, self.posterior.orders_PA]
        return np.einsum("ngp,ngpa->na", self.meant_NSGP[self.every_N, self.goal_N], self.chance_NGPA)

    def observe(self, state_N: np.ndarray, action_N: np.ndarray, reward_N: np.ndarray, next_N: np.ndarray) -> None:
        """Learn from an action what is meant, and from where it led what is true."""
        here = self.every_N, self.goal_N
        fits_NGP = self.meant_NSGP[here] * self.chance_NGPA[self.every_N, :, :, action_N]
        self.meant_NSGP[here] = fits_NGP / fits_NGP.sum(axis=(1, 2), keepdims=True)
        stage_N, cell_N = np.divmod(state_N, self.room.n_cells)
        self.posterior.observe(cell_N, stage_N, action_N, next_N % self.room.n_cells, reward_N)
        if self.name == "search":  # what is ruled out is meant no more: another one is drawn for it
            drawn_NSGP = self._drawn()
            is_out_NSGP = drawn_NSGP == 0
            out_NS11 = self.meant_NSGP.sum(axis=(2, 3), keepdims=True, where=is_out_NSGP)  # exactly 0, if nothing is
            self.meant_NSGP = np.where(is_out_NSGP, 0, self.meant_NSGP) + out_NS11 * drawn_NSGP

    def _drawn(self) -> np.ndarray:
        """Return the chances of what is drawn from the posterior."""
        goal_NSG, order_NP = self.posterior.goal_NGC[:, :, self.cell_G], self.posterior.order_NP
        fits_NSGP = goal_NSG[..., None] & order_NP[:, None, None]
        return fits_NSGP / fits_NSGP.sum(axis=(2, 3), keepdims=True, dtype=np.float32)


def best_move_chances(room: Room) -> np.ndarray:
    """Return how likely a yardstick makes each move in a cell for a goal, (C, G, M): those that lead nearer, alike."""
    row_C, column_C = np.divmod(np.arange(room.n_cells), room.size)
    far_CG = np.abs(row_C[:, None] - row_C) + np.abs(column_C[:, None] - column_C)
    good_CMG = far_CG[room.moved_CM] < far_CG[:, None]
    good_CMG[np.arange(room.n_cells), -1, np.arange(room.n_cells)] = True  # there it stays
    chance_CGM = good_CMG.transpose(0, 2, 1).astype(np.float32)
    return chance_CGM / chance_CGM.sum(axis=-1, keepdims=True)
