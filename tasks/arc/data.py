"""Dataset of `arc`: one row per pair to predict, with demonstrations of the same rule.

Splits are by task and by pair: `train`; `validation` and `test`, held-out pairs of the training tasks; `unseen_tasks`,
held-out pairs of tasks that are not in training, with their own demonstrations. Every row has a draw of its own: one
that shows little of the rule spoils a row, not a whole task.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value

from tasks.arc.copies import without_copies
from tasks.arc.generators.concept import Pair
from tasks.arc.options import ArcOptions, fewest_context
from tasks.arc.sources import ArcTask, load_sources
from trainers.contract import BuiltDataset
from trainers.errors import UserError

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
        UserError: a source that cannot be read, or nothing left to train on or to evaluate.
    """
    notes: list[str] = []
    seen, unseen = _load(options, notes)
    parts: dict[str, tuple[list[ArcTask], Callable[[ArcTask], list[Pair]]]] = {
        "train": (seen, lambda task: task.demonstrations),
        "validation": (seen, lambda task: task.tests[: options.n_val]),
        "unseen_tasks": (unseen, lambda task: task.tests),
        "test": (seen, lambda task: task.tests[options.n_val :]),
    }
    rows = {
        name: [row for task in tasks for row in _rows(name, task, pairs(task), options)]
        for name, (tasks, pairs) in parts.items()
    }
    return BuiltDataset(
        splits={name: Dataset.from_list(part, features=FEATURES) for name, part in rows.items() if part},
        facts={
            "seed": options.dataset_seed,
            "tasks": {"train": [task.name for task in seen], "unseen": [task.name for task in unseen]},
            "adjustments": notes,
        },
    )


def _load(options: ArcOptions, notes: list[str]) -> tuple[list[ArcTask], list[ArcTask]]:
    """Return the tasks to train on, and those that are only evaluated.

    Args:
        notes: gets a sentence for everything that is left out.
    """
    if (fewest := fewest_context(vars(options))) > options.n_context:
        raise UserError(
            f"--min_context {options.min_context} is more than --n_context {options.n_context}; give the fewest"
            " demonstrations of an input, and the most"
        )
    # A training pair is shown other pairs of its task, a held-out one any of the demonstrations.
    seen = _drop_unfit(load_sources(options.train_source, False, options, notes), fewest + 1, options, notes)
    unseen = [] if options.unseen_source == "none" else load_sources(options.unseen_source, True, options, notes)
    unseen = _drop_unfit(unseen, fewest, options, notes)
    is_asked = options.n_val + options.n_test > 0
    if is_asked and options.unseen_source != "none" and not any(task.tests for task in unseen):
        raise UserError(
            f"no pair of --unseen_source {options.unseen_source} is left to evaluate ({'; '.join(notes)});"
            " give another, or none"
        )
    seen = without_copies(seen, unseen, notes)
    _check_training(seen, options, notes)
    return seen, unseen


def _check_training(seen: Sequence[ArcTask], options: ArcOptions, notes: list[str]) -> None:
    """Raise a `UserError` if nothing is left to train on, or none of it is held out; note that there is no test."""
    if not seen:
        raise UserError(
            f"no task of --train_source {options.train_source} is left to train on; "
            + "; ".join(notes or ["it is empty"])
        )
    if options.n_val and not any(task.tests for task in seen):
        raise UserError(
            f"--train_source {options.train_source} holds no pairs out to choose a checkpoint by"
            f" ({'; '.join(notes) or 'it has none'}); give one more source, such as generated,rules, or a larger"
            " --max_side, or --n_val 0"
        )
    if options.n_test and max(len(task.tests) for task in seen) <= options.n_val:
        notes.append(f"there is no split test: no task has more than the {options.n_val} held-out pairs of --n_val")


def _drop_unfit(tasks: Sequence[ArcTask], needed: int, options: ArcOptions, notes: list[str]) -> list[ArcTask]:
    """Drop pairs that are too large, then tasks with fewer demonstrations than are needed."""

    def fitting(pairs: list[Pair]) -> list[Pair]:
        return [pair for pair in pairs if max(pair[0].shape + pair[1].shape) <= options.max_side]

    fits = [ArcTask(task.name, fitting(task.demonstrations), fitting(task.tests)) for task in tasks]
    n_before, n_after = (sum(len(task.pairs) for task in part) for part in (tasks, fits))
    if n_after < n_before:
        notes.append(
            f"{n_before - n_after} of {n_before} pairs are left out, because a side is longer than {options.max_side}"
        )
    enough = [task for task in fits if len(task.demonstrations) >= needed]
    if len(enough) < len(fits):
        flag = "n_context" if options.min_context is None else "min_context"
        notes.append(
            f"{len(fits) - len(enough)} of {len(fits)} tasks are left out, because --{flag}"
            f" {fewest_context(vars(options))} needs {needed} demonstrations of them"
        )
    return enough


def _rows(split: str, task: ArcTask, queries: Sequence[Pair], options: ArcOptions) -> list[dict[str, Any]]:
    """Return a task's rows of a split; what is drawn depends on the seeds, the split, the task and the row."""
    rng = np.random.default_rng([options.dataset_seed, options.context_seed, *f"{split} {task.name}".encode()])
    rows = []
    for number, pair in enumerate(queries):
        own = number if split == "train" else None
        shown = _draw_context(rng, len(task.demonstrations), own, options)
        rows.append(row_of(task.name, number, pair, [task.demonstrations[place] for place in shown]))
    return rows


def _draw_context(rng: np.random.Generator, n_pairs: int, own: int | None, options: ArcOptions) -> list[int]:
    """Return the numbers of the demonstrations of a row, of which none is its own.

    A row that is evaluated gets as many as there are, up to `n_context`; a training row a number that is drawn too.

    Args:
        n_pairs: Demonstrations of the task. own: The row's own number among them, if it is trained on.
    """
    n_others = n_pairs if own is None else n_pairs - 1
    most = min(options.n_context, n_others)
    if options.same_context:
        drawn = np.arange(most)
    else:
        n_shown = most if own is None else rng.integers(fewest_context(vars(options)), most + 1)
        drawn = rng.choice(n_others, n_shown, replace=False)
    return (drawn if own is None else drawn + (drawn >= own)).tolist()


def row_of(task: str, number: int, pair: Pair, context: Sequence[Pair]) -> dict[str, Any]:
    """Return a pair and its demonstrations as a row of the dataset."""
    before, after = pair
    return {
        "task": task,
        "pair": number,
        "input": before.tolist(),
        "output": after.tolist(),
        "context_inputs": [shown.tolist() for shown, _ in context],
        "context_outputs": [shown.tolist() for _, shown in context],
    }
