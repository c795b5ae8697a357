"""Datasets of learning histories: one row per learner, split by task."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from tasks.in_context_rl.bandit_rules import ArmRule
from tasks.in_context_rl.bandits import Bandit, gaussian_bandit
from tasks.in_context_rl.intents import Yardstick
from tasks.in_context_rl.options import BanditOptions, HistoryOptions, WorldOptions
from tasks.in_context_rl.rooms import LARGEST_SIDE, ROOMS, Room, fold_split
from tasks.in_context_rl.sources import FadingOracle, Histories, QLearning, Source, record
from tasks.in_context_rl.worlds import Family, World
from tasks.in_context_rl.yardsticks import YARDSTICKS
from trainers.contract import BuiltDataset, StoredDataset
from trainers.errors import UserError

STEP_COLUMNS = tuple(field.name for field in fields(Histories))
"""Columns with one value per step."""


def build(options: HistoryOptions | BanditOptions) -> BuiltDataset:
    """Let every learner learn; equal options give equal rows.

    Raises:
        UserError: a split without tasks, or histories of incomplete episodes.
    """
    family = family_for(options)
    unit = options.horizon * options.keep_every
    if options.history_steps % unit:
        raise UserError(
            f"--history_steps {options.history_steps} is no multiple of {unit} (--horizon x --keep_every); complete"
            f" episodes are kept, e.g. {-(-options.history_steps // unit) * unit}"
        )
    optimal_N, random_N = family.room.optimal_returns(family.tasks), family.room.random_returns(family.tasks)
    if hopeless := int((optimal_N <= random_N).sum()):
        raise UserError(
            f"--horizon {options.horizon} is too short for --size {family.room.size}: in {hopeless} of"
            f" {len(family.tasks)} tasks nothing is better than random actions; give a longer horizon"
        )
    numbers, notes = _split(options, len(family.tasks))
    seeds = np.random.SeedSequence(options.dataset_seed).spawn(3)
    splits, labels = {}, {}
    for (name, chosen), seed in zip(numbers.items(), seeds, strict=True):
        if chosen:
            streams = options.n_streams if name == "train" else options.eval_streams
            bounds = {"random_return": random_N[chosen], "optimal_return": optimal_N[chosen]}
            splits[name] = _rows(options, family, chosen, streams, bounds, np.random.default_rng(seed))
            labels[name] = [family.labels[number] for number in chosen]
    return BuiltDataset(
        splits=splits,
        facts={
            "seed": options.dataset_seed,
            "room": asdict(family.room),
            "tasks": labels if len(family.tasks) <= 200 else {name: len(part) for name, part in labels.items()},
            "adjustments": notes,
        },
    )


def family_for(options: HistoryOptions | BanditOptions) -> Family:
    """Return the world with all of its tasks."""
    if isinstance(options, BanditOptions):
        bandit = options.n_arms, options.horizon, options.reward_sd
        return gaussian_bandit(*bandit, n_tasks=options.n_bandits, seed=options.split_seed)
    return ROOMS[options.room](options.size, options.horizon)


def source_of(options: HistoryOptions | BanditOptions) -> Source:
    """Return the policy that makes the histories."""
    if isinstance(options, BanditOptions):
        return ArmRule(options.source)
    if options.source in YARDSTICKS:
        return Yardstick(options.source)
    start = {"q_learning": 0.1, "fading_oracle": 1.0}[options.source]
    start = start if options.noise_start is None else options.noise_start
    noise = start, options.noise_end, options.noise_share
    if options.source == "fading_oracle":
        return FadingOracle(*noise)
    return QLearning(options.q_step_size, options.q_discount, options.q_initial, *noise)


def _split(options: WorldOptions, n_tasks: int) -> tuple[dict[str, list[int]], list[str]]:
    """Return the numbers of the tasks of every split, and notes."""
    train, test = fold_split(n_tasks, options.train_share, options.split_seed, options.test_fold)
    if options.n_val_tasks >= len(train):
        raise UserError(
            f"--n_val_tasks {options.n_val_tasks} leaves none of the {len(train)} training tasks to train on (of"
            f" {n_tasks}, --train_share {options.train_share:g}); hold fewer out"
        )
    n_train, notes = len(train) - options.n_val_tasks, []
    train, validation = train[:n_train], train[n_train:]
    if options.max_train_tasks is not None and options.max_train_tasks < n_train:
        train = train[: options.max_train_tasks]
        notes.append(f"{n_train - len(train)} of {n_train} training tasks are left out (--max_train_tasks)")
    return {"train": train, "validation": validation, "test": test}, notes


def _rows(
    options: HistoryOptions | BanditOptions,
    family: Family,
    chosen: Sequence[int],
    streams: int,
    bounds: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> Dataset:
    """Return one row for every stream of every chosen task."""
    tasks = family.tasks[list(chosen)].repeated(streams)
    histories = record(source_of(options), family.room, tasks, options.history_steps, rng)
    columns: dict[str, Any] = {
        "task": pa.array(np.repeat(chosen, streams).astype(np.int32)),
        "label": pa.array([family.labels[number] for number in chosen for _ in range(streams)]),
        **{
            name: _lists(values.astype(kind))
            for (name, kind), values in zip(family.room.task_columns.items(), tasks.columns(), strict=True)
        },
        **{name: pa.array(values.repeat(streams)) for name, values in bounds.items()},
        **{name: _lists(_thin(options, values)) for name, values in vars(histories).items()},
    }
    return Dataset(pa.table(columns))


def _thin(options: HistoryOptions | BanditOptions, values_NT: np.ndarray) -> np.ndarray:
    """Keep every `keep_every`-th episode."""
    episodes_NEH = values_NT.reshape(len(values_NT), -1, options.horizon)
    return episodes_NEH[:, :: options.keep_every].reshape(len(values_NT), -1)


def _lists(values_NK: np.ndarray) -> pa.Array:
    """Return lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values_NK.ravel()), values_NK.shape[1])


def room_of(data: StoredDataset) -> World:
    """Return the rules of a stored dataset.

    Raises:
        UserError: its metadata has none, or impossible ones.
    """
    shared = {"size": int, "start": int, "horizon": int}
    if "n_arms" in data.fact("room", **shared):
        kinds: dict[str, type] = {**shared, "n_arms": int, "reward_sd": float}
        facts = data.fact("room", **kinds)
        return Bandit(**{name: facts[name] for name in kinds})
    kinds = {**shared, "n_goals": int, "once": bool}
    facts = data.fact("room", **kinds)
    room = Room(**{name: facts[name] for name in kinds})
    if not (1 <= room.size <= LARGEST_SIDE and 0 <= room.start < room.n_cells and min(room.horizon, room.n_goals) > 0):
        raise UserError(f"the metadata.json of the dataset {data.path} has an impossible room; build the dataset again")
    return room
