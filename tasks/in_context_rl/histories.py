"""Datasets of learning histories: one row per learner, split by task."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from tasks.in_context_rl.intents import Yardstick
from tasks.in_context_rl.options import HistoryOptions
from tasks.in_context_rl.rooms import ROOMS, RoomFamily, optimal_returns, random_returns, shuffled_split
from tasks.in_context_rl.sources import FadingOracle, Histories, QLearning, Source, record
from tasks.in_context_rl.yardsticks import YARDSTICKS
from trainers.contract import BuiltDataset
from trainers.errors import UserError

STEP_COLUMNS = tuple(field.name for field in fields(Histories))
"""Columns with one value per step."""


def build(options: HistoryOptions) -> BuiltDataset:
    """Let every learner learn; equal options give equal rows.

    Raises:
        UserError: a split without tasks, or histories of incomplete episodes.
    """
    family = ROOMS[options.room](options.size, options.horizon)
    unit = options.horizon * options.keep_every
    if options.history_steps % unit:
        raise UserError(
            f"--history_steps {options.history_steps} is no multiple of {unit} (--horizon x --keep_every); complete"
            f" episodes are kept, e.g. {-(-options.history_steps // unit) * unit}"
        )
    optimal_N, random_N = optimal_returns(family.room, family.tasks), random_returns(family.room, family.tasks)
    if hopeless := int((optimal_N <= random_N).sum()):
        raise UserError(
            f"--horizon {options.horizon} is too short for --size {options.size}: in {hopeless} of {len(family.tasks)}"
            " tasks nothing is better than random actions; give a longer horizon"
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


def source_of(options: HistoryOptions) -> Source:
    """Return the policy that makes the histories."""
    if options.source in YARDSTICKS:
        return Yardstick(options.source)
    start = {"q_learning": 0.1, "fading_oracle": 1.0}[options.source]
    start = start if options.noise_start is None else options.noise_start
    noise = start, options.noise_end, options.noise_share
    if options.source == "fading_oracle":
        return FadingOracle(*noise)
    return QLearning(options.q_step_size, options.q_discount, options.q_initial, *noise)


def _split(options: HistoryOptions, n_tasks: int) -> tuple[dict[str, list[int]], list[str]]:
    """Return the numbers of the tasks of every split, and notes."""
    train, test = shuffled_split(n_tasks, options.train_share, options.split_seed)
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
    options: HistoryOptions,
    family: RoomFamily,
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
        "goals": _lists(tasks.goals_NG.astype(np.int32)),
        "moves": _lists(tasks.moves_NA.astype(np.uint8)),
        **{name: pa.array(values.repeat(streams)) for name, values in bounds.items()},
        **{name: _lists(_thin(options, values)) for name, values in vars(histories).items()},
    }
    return Dataset(pa.table(columns))


def _thin(options: HistoryOptions, values_NT: np.ndarray) -> np.ndarray:
    """Keep every `keep_every`-th episode."""
    episodes_NEH = values_NT.reshape(len(values_NT), -1, options.horizon)
    return episodes_NEH[:, :: options.keep_every].reshape(len(values_NT), -1)


def _lists(values_NK: np.ndarray) -> pa.Array:
    """Return lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values_NK.ravel()), values_NK.shape[1])
