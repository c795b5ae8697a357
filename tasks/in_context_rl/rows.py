"""Splits of histories as tensors: random sections for training, complete histories for evaluation."""

from functools import cached_property
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from tasks.in_context_rl.bandits import Bandit
from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.depths import DepthPlan
from tasks.in_context_rl.encoding import encode
from tasks.in_context_rl.histories import STEP_COLUMNS, room_of
from tasks.in_context_rl.model import HistoryConfig
from tasks.in_context_rl.sources import rule_returns
from tasks.in_context_rl.worlds import World
from tasks.in_context_rl.yardsticks import yardstick_returns
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.sampling import row_uniform

Batch = dict[str, Any]


class HistoryRows(Dataset):
    """N histories of T steps each.

    Attributes:
        split: name. table: the stored rows. room: the rules.
        columns: (N, T) arrays by name, see `histories.STEP_COLUMNS`, and those of the tasks.
        label_NT: the action to predict in every step: the one taken or, for `dpt`, an optimal one.
        task_N: number of each history's task.
    """

    def __init__(
        self, split: str, table: datasets.Dataset, room: World, config: HistoryConfig, options: dict[str, Any]
    ) -> None:
        self.split, self.table, self.room = split, table, room
        self.config, self.options, self.epoch = config, options, 0
        self.columns = _columns(split, table, room)
        self.task_N = np.array(table["task"])
        _check(split, self.columns, room)
        self.tasks_N = _tasks(split, self.columns, room)
        self.label_NT = self._optimal_actions() if config.architecture == "dpt" else self.columns["action"]
        self.n_steps = self.columns["cell"].shape[1]
        self.plans: dict[Schedule, DepthPlan] = {}
        deepest = int(config.depths()[0][-1])
        longest = config.training_schedules.largest.length(deepest)
        if split == "train" and longest > self.n_steps:
            raise UserError(
                f"a batch of depth {deepest} takes {longest} steps, and the histories have {self.n_steps};"
                " give smaller --depth_weights or --window, or more --history_steps"
            )

    def __len__(self) -> int:
        return len(self.task_N)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return `steps` (B, T, 7), `labels` (B, T) and, in training, what else `HistoryModel` may need."""
        rows_B = np.array(rows)
        if self.split != "train":
            return self.stretch(rows_B, np.zeros_like(rows_B), self.n_steps)
        plan = self.draw_plan(rows)
        length = plan.schedule.length(self.draw_depth(rows))
        batch = self.stretch(rows_B, self.draw_start(rows_B, length), length)
        if not (plan.weight_D == 1).all():
            weight_T = torch.from_numpy(plan.weight_D[plan.places(length)]).float()
            batch["weights"] = weight_T.repeat(len(rows), 1)
        if plan.schedule != self.config.schedule:
            batch |= {"window": plan.schedule.window, "keep": plan.schedule.keep}
        return batch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of random draws."""
        self.epoch = epoch

    def draw_plan(self, rows: list[int]) -> DepthPlan:
        """Draw one schedule per batch, keyed by its first row, and return how its batches are drawn and weighed."""
        first = np.array(rows[:1])
        u_stride, u_window = (float(self._random(first, use)[0]) for use in ("stride", "window"))
        return self.plan_of(self.config.training_schedules.draw(u_stride, u_window))

    def plan_of(self, schedule: Schedule) -> DepthPlan:
        """Return how batches of a schedule are drawn and weighed."""
        if schedule not in self.plans:
            self.plans[schedule] = self.config.depth_plan(schedule)
        return self.plans[schedule]

    def draw_depth(self, rows: list[int]) -> int:
        """Draw one depth per batch, keyed by its first row, so that all rows are equally long."""
        u, plan = self._random(np.array(rows[:1]), "depth")[0], self.draw_plan(rows)
        place = np.searchsorted(np.cumsum(plan.chance_D)[:-1], u, side="right")
        return int(plan.depth_D[place])

    def draw_start(self, rows_B: np.ndarray, length: int) -> np.ndarray:
        """Draw the first step of every row's stretch, anywhere in its history.

        Stretches that reach beyond an end are moved inside, else the first and the last steps would be in fewer
        stretches than others; and acting begins at the first.
        """
        start_B = (self._random(rows_B, "start") * (self.n_steps + length + 1)).astype(np.int64) - length
        return start_B.clip(0, self.n_steps - length)

    def stretch(self, rows_B: np.ndarray, start_B: np.ndarray, length: int) -> Batch:
        """Return consecutive steps of histories."""
        place_BT, row_B1 = start_B[:, None] + np.arange(length), rows_B[:, None]
        before_BT = place_BT - 1  # -1 at the beginning of a history: the value there is not used

        def at(name: str, places: np.ndarray) -> np.ndarray:
            return self.columns[name][row_B1, places].astype(np.int64)

        steps = encode(
            self.config.field_sizes,
            at("cell", place_BT),
            np.where(before_BT < 0, -1, at("next_cell", before_BT)),
            at("action", before_BT),
            at("reward", before_BT),
            place_BT % self.room.horizon == 0,
        )
        label_BT = self.label_NT[row_B1, place_BT].astype(np.int64)
        return {"steps": torch.from_numpy(steps), "labels": torch.from_numpy(label_BT)}

    def tasks(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Return the split's tasks in order of appearance, and facts about them; `row` is the first row of each."""
        _, first = np.unique(self.task_N, return_index=True)
        row_K = np.sort(first)
        table = self.table[row_K.tolist()]
        facts = {name: np.array(table[name]) for name in ("task", "label", "random_return", "optimal_return")}
        return self.tasks_N[row_K], {"row": row_K, **facts}

    def returns(self) -> np.ndarray:
        """Return what every episode of the histories brought, (N, E)."""
        worth_NT = self.room.worth(self.tasks_N, self.columns["action"], self.columns["reward"])
        return worth_NT.reshape(len(self), -1, self.room.horizon).sum(-1)

    @property
    def source_episode_E(self) -> np.ndarray:
        """Numbers, from 1, of the episodes of a history among all that its learner has learnt from."""
        return 1 + int(self.options["keep_every"]) * np.arange(self.n_steps // self.room.horizon)

    @cached_property
    def yardsticks(self) -> dict[str, np.ndarray]:
        """The returns of each yardstick in the split's tasks, (K, R, E), in as many episodes as models have."""
        returns = rule_returns if isinstance(self.room, Bandit) else yardstick_returns
        return returns(self.room, self.tasks()[0], int(self.options["eval_episodes"]))  # pyright: ignore

    def _optimal_actions(self) -> np.ndarray:
        """Return an optimal action in every step, (N, T) uint8; where several are, one is drawn."""
        rng = np.random.default_rng(self.options["dataset_seed"])
        action_NT, stage_N = np.empty_like(self.columns["action"]), np.zeros(len(self), dtype=np.int64)
        for number, (cell_N, reward_N) in enumerate(zip(self.columns["cell"].T, self.columns["reward"].T, strict=True)):
            if number % self.room.horizon == 0:
                stage_N = np.zeros_like(stage_N)
            action_NT[:, number] = self.room.best_actions(self.tasks_N, cell_N.astype(np.int64), stage_N, rng)
            stage_N = stage_N + reward_N * (self.room.n_stages > 1)
        return action_NT

    def _random(self, rows_B: np.ndarray, use: str) -> np.ndarray:
        return row_uniform([self.options["dataset_seed"], self.epoch], use, rows_B, 1)[:, 0]


def _columns(split: str, table: datasets.Dataset, room: World) -> dict[str, np.ndarray]:
    """Return the columns of the tasks, and those with a value per step, (N, T) each.

    Raises:
        UserError: a column is missing, has gaps, or is not of lists of one length.
    """
    stored: Any = table.with_format("arrow")[:]
    lists = (*room.task_columns, *STEP_COLUMNS)
    for name in ("task", "label", "random_return", "optimal_return", *lists):
        if name not in stored.column_names or stored[name].null_count:
            raise UserError(f"split {split} has no column {name}, or one with gaps; build the dataset again")
    columns = {name: _matrix(split, name, stored[name].combine_chunks()) for name in lists}
    if len({columns[name].shape for name in STEP_COLUMNS}) > 1:
        raise UserError(f"the columns of split {split} differ in length; build the dataset again")
    return columns


def _matrix(split: str, name: str, column: Any) -> np.ndarray:
    is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if is_list and (pa.types.is_integer(column.type.value_type) or pa.types.is_floating(column.type.value_type)):
        lengths = set(pc.list_value_length(column).to_pylist())  # pyright: ignore
        if len(lengths) == 1 and column.flatten().null_count == 0:
            return column.flatten().to_numpy().reshape(len(column), -1)
    raise UserError(f"the column {name} of split {split} is not of lists of as many numbers each; build it again")


def _check(split: str, columns: dict[str, np.ndarray], room: World) -> None:
    """Refuse values out of range, and incomplete episodes.

    Raises:
        UserError: there are some.
    """
    limits = {"cell": room.n_cells, "next_cell": room.n_cells, "action": room.n_actions}
    limits["reward"] = len(room.reward_values)
    for name, limit in limits.items():
        values = columns[name]
        if values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= limit:
            raise UserError(f"the column {name} of split {split} is not of whole numbers below {limit}; build it again")
    if not ((columns["probability"] > 0) & (columns["probability"] <= 1)).all():
        raise UserError(f"the column probability of split {split} is not between 0 and 1; build the dataset again")
    if columns["cell"].shape[1] % room.horizon:
        raise UserError(f"the histories of split {split} are no complete episodes; build the dataset again")


def _tasks(split: str, columns: dict[str, np.ndarray], room: World) -> Any:
    """Return the task of every row.

    Raises:
        UserError: one is none that the room has.
    """
    try:
        return room.make_tasks(*(columns[name] for name in room.task_columns))
    except ValueError as error:
        names = " or ".join(room.task_columns)
        raise UserError(
            f"the {names} of split {split} are not those of a task: {error}; build the dataset again"
        ) from error


def rows_of(data: StoredDataset, split: str, config: HistoryConfig, fixed_width: bool = False) -> HistoryRows:
    """Return a split of a stored dataset."""
    options = data.fact("options", dataset_seed=int, keep_every=int, eval_episodes=int, eval_rollouts=int)
    return HistoryRows(split, data.splits[split], room_of(data), config, options)
