"""The dataset of `arc`: one row per pair to predict, with the demonstrations that are shown beside it.

Splits are by task and by pair: `train`; `validation` and `test`, held-out pairs of the training tasks; `unseen_tasks`,
held-out pairs of tasks of which nothing is trained on, shown with their own demonstrations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value

from tasks.arc.generators.concept import Pair
from tasks.arc.options import ArcOptions
from tasks.arc.sources import ArcTask, load_sources
from trainers.contract import BuiltDataset
from trainers.errors import UserError

Query = tuple[Pair, list[Pair]]
"""A pair whose output is to be predicted, and the pairs shown beside it."""
GRID = List(List(Value("uint8")))
FEATURES = Features(
    {
        "task": Value("string"),
        "pair": Value("int32"),
        "input": GRID,
        "output": GRID,
        "context_inputs": List(GRID),
        "context_outputs": List(GRID),
    }
)


def build(options: ArcOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: a source that cannot be read, or nothing left to train on.
    """
    notes: list[str] = []
    seen = _fitting(_load(options, options.train_source, unseen=False), options, notes)
    unseen = [] if options.unseen_source == "none" else _load(options, options.unseen_source, unseen=True)
    unseen = _fitting(unseen, options, notes)
    seen = without_contamination(seen, unseen, notes)
    if not seen:
        raise UserError(
            f"no task of --train_source {options.train_source} is left to train on; "
            + "; ".join(notes or ["it is empty"])
        )
    n = options.n_context
    if options.n_test and max(len(task.tests) for task in seen) <= options.n_val:
        notes.append(f"there is no split test: no task has more than the {options.n_val} held-out pairs of --n_val")
    splits = {
        "train": _rows(seen, lambda task: [(pair, _context(task, n, i)) for i, pair in enumerate(task.demonstrations)]),
        "validation": _rows(seen, lambda task: _held_out(task, n)[: options.n_val]),
        "unseen_tasks": _rows(unseen, lambda task: _held_out(task, n)),
        "test": _rows(seen, lambda task: _held_out(task, n)[options.n_val :]),
    }
    return BuiltDataset(
        splits={name: rows for name, rows in splits.items() if len(rows)},
        facts={
            "seed": options.dataset_seed,
            "tasks": {"train": [task.name for task in seen], "unseen": [task.name for task in unseen]},
            "adjustments": notes,
        },
    )


def without_contamination(seen: Sequence[ArcTask], unseen: Sequence[ArcTask], notes: list[str]) -> list[ArcTask]:
    """The training tasks that share neither name nor pair with an unseen one; `notes` says how many were dropped."""
    names = {task.name for task in unseen}
    pairs = {_key(pair) for task in unseen for pair in task.demonstrations + task.tests}
    clean = [
        task
        for task in seen
        if task.name not in names and not any(_key(pair) in pairs for pair in task.demonstrations + task.tests)
    ]
    if dropped := len(seen) - len(clean):
        notes.append(
            f"{dropped} of {len(seen)} training tasks are left out: an unseen task has the same name or shares a pair"
        )
    return clean


def _load(options: ArcOptions, source: str, unseen: bool) -> list[ArcTask]:
    n_held_out = options.n_val + options.n_test
    return load_sources(source, unseen, options.pairs_per_task, n_held_out, options.max_side, options.dataset_seed)


def _fitting(tasks: Sequence[ArcTask], options: ArcOptions, notes: list[str]) -> list[ArcTask]:
    """The tasks without pairs that are too large; only those with enough demonstrations for a context."""
    fits = [
        ArcTask(
            task.name,
            [pair for pair in task.demonstrations if _side(pair) <= options.max_side],
            [pair for pair in task.tests if _side(pair) <= options.max_side],
        )
        for task in tasks
    ]
    n_before, n_after = (sum(len(task.demonstrations) + len(task.tests) for task in part) for part in (tasks, fits))
    if n_after < n_before:
        notes.append(
            f"{n_before - n_after} of {n_before} pairs are left out, because a side is longer than {options.max_side}"
        )
    enough = [task for task in fits if len(task.demonstrations) > options.n_context]
    if len(enough) < len(fits):
        notes.append(
            f"{len(fits) - len(enough)} of {len(fits)} tasks are left out, because they have no more than"
            f" {options.n_context} demonstrations"
        )
    return enough


def _context(task: ArcTask, n_context: int, query: int) -> list[Pair]:
    """The task's first demonstrations that are not the query."""
    return [pair for i, pair in enumerate(task.demonstrations[: n_context + 1]) if i != query][:n_context]


def _held_out(task: ArcTask, n_context: int) -> list[Query]:
    return [(pair, _context(task, n_context, -1)) for pair in task.tests]


def _rows(tasks: Sequence[ArcTask], queries_of: Callable[[ArcTask], list[Query]]) -> Dataset:
    """One row for every query of every task."""
    columns: dict[str, list[Any]] = {name: [] for name in FEATURES}
    for task in tasks:
        for number, (pair, context) in enumerate(queries_of(task)):
            before, after = pair
            row = (
                task.name,
                number,
                before.tolist(),
                after.tolist(),
                [shown.tolist() for shown, _ in context],
                [shown.tolist() for _, shown in context],
            )
            for name, value in zip(FEATURES, row, strict=True):
                columns[name].append(value)
    return Dataset.from_dict(columns, features=FEATURES)


def _side(pair: Pair) -> int:
    return max(*pair[0].shape, *pair[1].shape)


def _key(pair: Pair) -> tuple[Any, ...]:
    return tuple((grid.shape, grid.tobytes()) for grid in map(np.ascontiguousarray, pair))
