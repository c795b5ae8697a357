"""Dark rooms: grids in which an agent observes only its own cell. The place of the reward differs between tasks.

Darkroom (Laskin et al. 2022, "In-context Reinforcement Learning with Algorithm Distillation"): one goal, a reward for
every step that ends on it. Permuted Darkroom: the goal is fixed, the effect of each action is not. Dark Key-to-Door:
the key is worth a reward once, then the door once; the agent does not observe whether it has the key.

All three are goals to be reached in order, so they share one set of rules. A cell is a number, row * size + column.
"""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from tasks.in_context_rl.worlds import Family, World
from trainers.errors import UserError

LARGEST_SIDE = 15
MOVES = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
"""Change of row and column by the five moves; without a permutation, action and move are the same number."""
N_ACTIONS = len(MOVES)


@dataclass(frozen=True)
class Room(World):
    """Rules of a dark room.

    Attributes:
        n_goals: cells to be reached in order. once: a goal is worth a reward only the first time.
    """

    n_goals: int = 1
    once: bool = False

    task_columns: ClassVar = {"goals": np.int32, "moves": np.uint8}

    @property
    def n_stages(self) -> int:
        """Number of states besides the cell: goals reached, if reaching them counts once."""
        return self.n_goals + 1 if self.once else 1

    @property
    def n_actions(self) -> int:
        """The five moves."""
        return N_ACTIONS

    @property
    def reward_values(self) -> np.ndarray:
        """None or one."""
        return np.arange(2)

    def make_tasks(self, *columns: np.ndarray) -> "RoomTasks":
        """Return tasks, from their goals and moves."""
        goals_NG, moves_NA = columns
        if goals_NG.shape[1] != self.n_goals or goals_NG.min() < 0 or goals_NG.max() >= self.n_cells:
            raise ValueError("a goal is missing, or outside of the room")
        if moves_NA.shape[1] != N_ACTIONS or (np.sort(moves_NA) != np.arange(N_ACTIONS)).any():
            raise ValueError("the moves are no order of the actions")
        return RoomTasks(goals_NG, moves_NA)

    @cached_property
    def moved_CM(self) -> np.ndarray:
        """Cell after each move from each cell, (C, M); walls stop it."""
        row_C, column_C = np.divmod(np.arange(self.n_cells), self.size)
        place_CM2 = np.stack([row_C, column_C], -1)[:, None] + MOVES
        row_CM, column_CM = np.moveaxis(place_CM2.clip(0, self.size - 1), -1, 0)
        return row_CM * self.size + column_CM

    def step(
        self,
        tasks: "RoomTasks",
        cell_N: np.ndarray,
        stage_N: np.ndarray,
        action_N: np.ndarray,
        rng: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step N tasks at once; return the next cells, the next stages, and the rewards (0 or 1). Nothing is drawn."""
        every_N = np.arange(len(tasks))
        cell_N = self.moved_CM[cell_N, tasks.moves_NA[every_N, action_N]]
        if not self.once:
            return cell_N, stage_N, (cell_N == tasks.goals_NG[:, 0]).astype(np.uint8)
        wanted_N = tasks.goals_NG[every_N, np.minimum(stage_N, self.n_goals - 1)]
        reward_N = ((cell_N == wanted_N) & (stage_N < self.n_goals)).astype(np.uint8)
        return cell_N, stage_N + reward_N, reward_N

    def best_actions(
        self, tasks: "RoomTasks", cell_N: np.ndarray, stage_N: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return an optimal action of every agent, (N,), on a shortest way to the next goal, where it stays.

        Args:
            rng: decides where down or up is as good as right or left; without one, down or up come first.
        """
        every_N = np.arange(len(tasks))
        goal_N = tasks.goals_NG[every_N, np.minimum(stage_N, self.n_goals - 1)]
        (goal_row_N, goal_column_N), (row_N, column_N) = np.divmod(goal_N, self.size), np.divmod(cell_N, self.size)
        down_N, right_N = goal_row_N - row_N, goal_column_N - column_N
        down_first_N = True if rng is None else rng.random(len(tasks)) < 0.5
        is_vertical_N = (down_N != 0) & (down_first_N | (right_N == 0))
        ways = [is_vertical_N & (down_N > 0), is_vertical_N & (down_N < 0), right_N > 0, right_N < 0]
        move_N = np.select(ways, [0, 1, 2, 3], 4)
        return tasks.action_of_move_NM[every_N, move_N]

    def worth(self, tasks: "RoomTasks", action_NT: np.ndarray, reward_NT: np.ndarray) -> np.ndarray:
        """Return the rewards, (N, T)."""
        return reward_NT

    def random_returns(self, tasks: "RoomTasks") -> np.ndarray:
        """Return the expected return of uniformly random actions, (N,): exact, by the distribution over states."""
        spread_CC = np.zeros((self.n_cells, self.n_cells))
        np.add.at(spread_CC, (np.arange(self.n_cells)[:, None], self.moved_CM), 1 / N_ACTIONS)
        every_N = np.arange(len(tasks))
        mass_NSC = np.zeros((len(tasks), self.n_stages, self.n_cells))
        mass_NSC[:, 0, self.start] = 1
        return_N = np.zeros(len(tasks))
        for _ in range(self.horizon):
            mass_NSC = mass_NSC @ spread_CC
            for stage in reversed(range(self.n_goals)):
                goal_N = tasks.goals_NG[:, stage]
                arrived_N = mass_NSC[every_N, stage, goal_N]
                return_N += arrived_N
                if self.once:
                    mass_NSC[every_N, stage + 1, goal_N] += arrived_N
                    mass_NSC[every_N, stage, goal_N] = 0
        return return_N

    def optimal_returns(self, tasks: "RoomTasks") -> np.ndarray:
        """Return the largest possible return, (N,) float64: exact, by backward induction (Bellman 1957)."""
        every_N = np.arange(len(tasks))
        value_NSC = np.zeros((len(tasks), self.n_stages, self.n_cells))
        for _ in range(self.horizon):
            worth_NSC = value_NSC.copy()  # of arriving: the reward there, and the value from then on
            for stage in range(self.n_goals):
                goal_N = tasks.goals_NG[:, stage]
                worth_NSC[every_N, stage, goal_N] = 1 + value_NSC[every_N, stage + self.once, goal_N]
            value_NSC = worth_NSC[:, :, self.moved_CM].max(axis=-1)
        return value_NSC[:, 0, self.start]


@dataclass(frozen=True)
class RoomTasks:
    """N tasks of one room: goals_NG, the cells to be reached in order; moves_NA, the move of each action."""

    goals_NG: np.ndarray
    moves_NA: np.ndarray

    def __len__(self) -> int:
        return len(self.goals_NG)

    def __getitem__(self, chosen: Sequence[int] | np.ndarray) -> "RoomTasks":
        return RoomTasks(self.goals_NG[chosen], self.moves_NA[chosen])

    def columns(self) -> tuple[np.ndarray, ...]:
        """Return what `Room.make_tasks` makes them of."""
        return self.goals_NG, self.moves_NA

    @cached_property
    def action_of_move_NM(self) -> np.ndarray:
        """The action that makes each move."""
        return np.argsort(self.moves_NA, axis=1)

    def repeated(self, times: int) -> "RoomTasks":
        """Repeat every task `times` times in a row."""
        return RoomTasks(self.goals_NG.repeat(times, 0), self.moves_NA.repeat(times, 0))


def darkroom(size: int = 9, horizon: int = 20) -> Family:
    """Return Darkroom: every cell as the goal, row by row; episodes begin in the middle."""
    goals_NG = np.arange(size**2)[:, None]
    labels = [f"goal {_place(goal, size)}" for goal in goals_NG[:, 0]]
    return Family(Room(size, _middle(size), horizon), _plain_moves(goals_NG), labels)


def permuted_darkroom(size: int = 9, horizon: int = 50) -> Family:
    """Return Permuted Darkroom: from the first cell to the last, with all 120 orders of the actions."""
    moves_NA = np.array(list(itertools.permutations(range(N_ACTIONS))))
    goals_NG = np.full((len(moves_NA), 1), size**2 - 1)
    labels = ["moves " + "".join(map(str, moves)) for moves in moves_NA.tolist()]
    return Family(Room(size, 0, horizon), RoomTasks(goals_NG, moves_NA), labels)


def key_to_door(size: int = 9, horizon: int = 50) -> Family:
    """Return Dark Key-to-Door: every pair of cells, also of equal ones; episodes begin in the middle."""
    goals_NG = np.array(list(itertools.product(range(size**2), repeat=2)))
    labels = [f"key {_place(key, size)} door {_place(door, size)}" for key, door in goals_NG]
    return Family(Room(size, _middle(size), horizon, n_goals=2, once=True), _plain_moves(goals_NG), labels)


ROOMS: Mapping[str, Callable[[int, int], Family]] = {
    "darkroom": darkroom,
    "permuted_darkroom": permuted_darkroom,
    "key_to_door": key_to_door,
}
"""Families of rooms by name, made from size and horizon."""


def family_of(room: Room) -> Family:
    """Return the family that has these rules.

    Raises:
        UserError: none has.
    """
    for make in ROOMS.values():
        if (family := make(room.size, room.horizon)).room == room:
            return family
    raise UserError(f"no family of rooms has these rules: {room}; build the dataset again")


def shuffled_split(n_tasks: int, train_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return numbers of the training and the held-out tasks, as published: the first part of Python's own shuffle."""
    order = list(range(n_tasks))
    random.Random(seed).shuffle(order)
    n_train = round(n_tasks * train_share)
    return order[:n_train], order[n_train:]


def fold_split(n_tasks: int, train_share: float, seed: int, fold: int) -> tuple[list[int], list[int]]:
    """Return numbers of the training and the held-out tasks of one fold; fold 0 is `shuffled_split`.

    The next folds hold out what stands before it in the order; the last one that there is may reach over the beginning
    to tasks that fold 0 holds out too.

    Raises:
        UserError: there is no such fold.
    """
    train, test = shuffled_split(n_tasks, train_share, seed)
    n_folds = -(-n_tasks // len(test)) if test else 1
    if fold >= n_folds:
        raise UserError(
            f"--test_fold {fold}: {n_tasks} tasks of which {len(test)} are held out have the folds 0 to {n_folds - 1}"
        )
    order = train + test
    moved = order[n_tasks - fold * len(test) :] + order[: n_tasks - fold * len(test)]
    return moved[: len(train)], moved[len(train) :]


def _middle(size: int) -> int:
    return size // 2 * size + size // 2


def _place(cell: int, size: int) -> str:
    return "{},{}".format(*divmod(int(cell), size))


def _plain_moves(goals_NG: np.ndarray) -> RoomTasks:
    return RoomTasks(goals_NG, np.tile(np.arange(N_ACTIONS), (len(goals_NG), 1)))
