"""A split of histories as tensors: in training stretches from anywhere in them, else whole ones."""

from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from tasks.in_context_rl.encoding import encode
from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.model import HistoryConfig
from tasks.in_context_rl.rooms import N_ACTIONS, Room, RoomTasks
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.sampling import row_uniform

Batch = dict[str, torch.Tensor]
LARGEST_SIDE = 15


class HistoryRows(Dataset):
    """N histories of T steps each.

    Attributes:
        split: the split's name. table: its `datasets.Dataset`. room: the rules.
        columns: by name (N, T) arrays, see `histories.STEP_COLUMNS`.
        task_N: number of each history's task.
    """

    def __init__(
        self, split: str, table: datasets.Dataset, room: Room, config: HistoryConfig, options: dict[str, Any]
    ) -> None:
        self.split, self.table, self.room = split, table, room
        self.config, self.options, self.epoch = config, options, 0
        self.columns = _columns(split, table)
        self.task_N = np.array(table["task"])
        _check(split, self.columns, room)
        _check_tasks(split, table, room)
        self.n_steps = self.columns["cell"].shape[1]
        self.depth_D, self.chance_D = config.depths()
        longest = config.schedule.length(int(self.depth_D.max()))
        if split == "train" and longest > self.n_steps:
            raise UserError(
                f"a batch of depth {self.depth_D.max()} takes {longest} steps, and the histories have {self.n_steps};"
                " give smaller --depth_weights or --window, or more --history_steps"
            )

    def __len__(self) -> int:
        return len(self.task_N)

    def __getitems__(self, rows: list[int]) -> Batch:
        """`steps` (B, T, 7) and `labels` (B, T), see `HistoryModel`."""
        rows_B = np.array(rows)
        if self.split != "train":
            return self.stretch(rows_B, np.zeros_like(rows_B), self.n_steps)
        depth = self.draw_depth(rows)
        length = self.config.schedule.length(depth)
        return self.stretch(rows_B, self.draw_start(rows_B, length), length)

    def set_epoch(self, epoch: int) -> None:
        """What is random is drawn for this epoch."""
        self.epoch = epoch

    def draw_depth(self, rows: list[int]) -> int:
        """One depth for the whole batch, so that all of its rows are equally long; by its first row."""
        u = self._random(np.array(rows[:1]), "depth")[0]
        place = np.searchsorted(np.cumsum(self.chance_D)[:-1], u, side="right")
        return int(self.depth_D[place])

    def draw_start(self, rows_B: np.ndarray, length: int) -> np.ndarray:
        """First step of every row's stretch, anywhere in its history.

        Stretches that reach beyond an end are moved inside, else the first and the last steps would be in fewer
        stretches than others; and acting begins at the first.
        """
        start_B = (self._random(rows_B, "start") * (self.n_steps + length + 1)).astype(np.int64) - length
        return start_B.clip(0, self.n_steps - length)

    def stretch(self, rows_B: np.ndarray, start_B: np.ndarray, length: int) -> Batch:
        """Consecutive steps of histories."""
        place_BT, row_B1 = start_B[:, None] + np.arange(length), rows_B[:, None]
        before_BT = place_BT - 1  # -1 at the beginning of a history: whatever stands there is not looked at

        def at(name: str, places: np.ndarray) -> np.ndarray:
            return self.columns[name][row_B1, places].astype(np.int64)

        steps = encode(
            self.room.size,
            at("cell", place_BT),
            np.where(before_BT < 0, -1, at("next_cell", before_BT)),
            at("action", before_BT),
            at("reward", before_BT),
            place_BT % self.room.horizon == 0,
        )
        return {"steps": torch.from_numpy(steps), "labels": torch.from_numpy(at("action", place_BT))}

    def tasks(self) -> tuple[RoomTasks, dict[str, np.ndarray]]:
        """The split's tasks, each once, in order of appearance; beside them `row`, where each first appears."""
        _, first = np.unique(self.task_N, return_index=True)
        row_K = np.sort(first)
        table = self.table[row_K.tolist()]
        facts = {name: np.array(table[name]) for name in ("task", "label", "random_return", "optimal_return")}
        return RoomTasks(np.array(table["goals"]), np.array(table["moves"])), {"row": row_K, **facts}

    def returns(self) -> np.ndarray:
        """Return of every episode of the histories, (N, E)."""
        reward_NT = self.columns["reward"]
        return reward_NT.reshape(len(self), -1, self.room.horizon).sum(-1, dtype=np.int64)

    def _random(self, rows_B: np.ndarray, use: str) -> np.ndarray:
        return row_uniform([self.options["dataset_seed"], self.epoch], use, rows_B, 1)[:, 0]


def _columns(split: str, table: datasets.Dataset) -> dict[str, np.ndarray]:
    """The columns with a value per step, (N, T) each.

    Raises:
        UserError: a column is missing, has gaps, or is not of lists of one length.
    """
    whole: Any = table.with_format("arrow")[:]
    plain = ("task", "label", "goals", "moves", "random_return", "optimal_return")
    for name in (*plain, *STEP_COLUMNS):
        if name not in whole.column_names or whole[name].null_count:
            raise UserError(f"split {split} has no column {name}, or one with gaps; build the dataset again")
    columns = {name: _matrix(split, name, whole[name].combine_chunks()) for name in STEP_COLUMNS}
    if len({values.shape for values in columns.values()}) > 1:
        raise UserError(f"the columns of split {split} differ in length; build the dataset again")
    return columns


def _matrix(split: str, name: str, column: Any) -> np.ndarray:
    is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if is_list and (pa.types.is_integer(column.type.value_type) or pa.types.is_floating(column.type.value_type)):
        lengths = set(pc.list_value_length(column).to_pylist())  # pyright: ignore
        if len(lengths) == 1 and column.flatten().null_count == 0:
            return column.flatten().to_numpy().reshape(len(column), -1)
    raise UserError(f"the column {name} of split {split} is not of lists of as many numbers each; build it again")


def _check(split: str, columns: dict[str, np.ndarray], room: Room) -> None:
    """Values in range, and whole episodes.

    Raises:
        UserError: it is not so.
    """
    limits = {"cell": room.n_cells, "next_cell": room.n_cells, "action": N_ACTIONS, "reward": 2}
    for name, limit in limits.items():
        values = columns[name]
        if values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= limit:
            raise UserError(f"the column {name} of split {split} is not of whole numbers below {limit}; build it again")
    if not ((columns["probability"] > 0) & (columns["probability"] <= 1)).all():
        raise UserError(f"the column probability of split {split} is not between 0 and 1; build the dataset again")
    if columns["cell"].shape[1] % room.horizon:
        raise UserError(f"the histories of split {split} are no whole episodes; build the dataset again")


def _check_tasks(split: str, table: datasets.Dataset, room: Room) -> None:
    """Goals in the room, and moves that are an order of the five.

    Raises:
        UserError: it is not so.
    """
    whole: Any = table.with_format("arrow")[:]
    goals_NG, moves_NA = (_matrix(split, name, whole[name].combine_chunks()) for name in ("goals", "moves"))
    wrong_goals = goals_NG.shape[1] != room.n_goals or goals_NG.min() < 0 or goals_NG.max() >= room.n_cells
    if wrong_goals or (np.sort(moves_NA) != np.arange(N_ACTIONS)).any():
        raise UserError(f"the goals or moves of split {split} are not those of a task; build the dataset again")


def rows_of(data: StoredDataset, split: str, config: HistoryConfig, fixed_width: bool = False) -> HistoryRows:
    """A split of a stored dataset as histories."""
    options = data.fact("options", dataset_seed=int, eval_episodes=int, eval_rollouts=int)
    return HistoryRows(split, data.splits[split], room_of(data), config, options)


def room_of(data: StoredDataset) -> Room:
    """The rules of a stored dataset.

    Raises:
        UserError: its metadata has none, or impossible ones.
    """
    kinds = {"size": int, "start": int, "horizon": int, "n_goals": int, "once": bool}
    found = data.fact("room", **kinds)
    room = Room(**{name: found[name] for name in kinds})
    if not (1 <= room.size <= LARGEST_SIDE and 0 <= room.start < room.n_cells and min(room.horizon, room.n_goals) > 0):
        raise UserError(f"the metadata.json of the dataset {data.path} has an impossible room; build the dataset again")
    return room
