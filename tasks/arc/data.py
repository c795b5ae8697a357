"""Dataset of `arc`: one row per pair to predict, with demonstrations of the same rule.

Splits are by task and by pair: `train`; `validation` and `test`, held-out pairs of the training tasks; `unseen_tasks`,
held-out pairs of tasks that are not in training, with their own demonstrations.
"""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset, Features, List, Value

from tasks.arc.generators.concept import Pair
from tasks.arc.options import ArcOptions
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
        UserError: a source that cannot be read, or nothing left to train on.
    """
    notes: list[str] = []
    seen = _drop_unfit(load_sources(options.train_source, False, options, notes), options, notes)
    unseen = [] if options.unseen_source == "none" else load_sources(options.unseen_source, True, options, notes)
    unseen = _drop_unfit(unseen, options, notes)
    is_asked = options.unseen_source != "none" and options.n_val + options.n_test > 0
    if is_asked and not any(task.tests for task in unseen):
        raise UserError(
            f"no pair of --unseen_source {options.unseen_source} is left to evaluate ({'; '.join(notes)});"
            " give another, or none"
        )
    seen = without_contamination(seen, unseen, notes)
    if not seen:
        raise UserError(
            f"no task of --train_source {options.train_source} is left to train on; "
            + "; ".join(notes or ["it is empty"])
        )
    if options.n_val and not any(task.tests for task in seen):
        raise UserError(
            f"--train_source {options.train_source} holds no pairs out to choose a checkpoint by; give one more source,"
            " such as generated,rules, or --n_val 0"
        )
    if options.n_test and max(len(task.tests) for task in seen) <= options.n_val:
        notes.append(f"there is no split test: no task has more than the {options.n_val} held-out pairs of --n_val")
    parts: dict[str, tuple[list[ArcTask], Callable[[ArcTask], list[Pair]]]] = {
        "train": (seen, lambda task: task.demonstrations),
        "validation": (seen, lambda task: task.tests[: options.n_val]),
        "unseen_tasks": (unseen, lambda task: task.tests),
        "test": (seen, lambda task: task.tests[options.n_val :]),
    }
    rows = {
        name: [_row(task, number, pair, options.n_context) for task in tasks for number, pair in enumerate(pairs(task))]
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


def without_contamination(seen: Sequence[ArcTask], unseen: Sequence[ArcTask], notes: list[str]) -> list[ArcTask]:
    """Return the training tasks that share neither name nor pair with an unseen one; note how many were dropped."""
    names = {task.name for task in unseen}
    keys = {_key(pair) for task in unseen for pair in task.pairs}
    clean = [task for task in seen if task.name not in names and keys.isdisjoint(map(_key, task.pairs))]
    if dropped := len(seen) - len(clean):
        notes.append(
            f"{dropped} of {len(seen)} training tasks are left out: an unseen task has the same name or shares a pair"
        )
    return clean


def _drop_unfit(tasks: Sequence[ArcTask], options: ArcOptions, notes: list[str]) -> list[ArcTask]:
    """Drop pairs that are too large, then tasks without enough demonstrations for a context."""

    def fitting(pairs: list[Pair]) -> list[Pair]:
        return [pair for pair in pairs if max(pair[0].shape + pair[1].shape) <= options.max_side]

    fits = [ArcTask(task.name, fitting(task.demonstrations), fitting(task.tests)) for task in tasks]
    n_before, n_after = (sum(len(task.pairs) for task in part) for part in (tasks, fits))
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


def _row(task: ArcTask, number: int, pair: Pair, n_context: int) -> dict[str, Any]:
    """Return a pair with the first demonstrations of its task that are not the pair itself."""
    context = [shown for shown in task.demonstrations[: n_context + 1] if shown is not pair][:n_context]
    before, after = pair
    return {
        "task": task.name,
        "pair": number,
        "input": before.tolist(),
        "output": after.tolist(),
        "context_inputs": [shown.tolist() for shown, _ in context],
        "context_outputs": [shown.tolist() for _, shown in context],
    }


def _key(pair: Pair) -> tuple[Any, ...]:
    return tuple((grid.shape, grid.tobytes()) for grid in pair)
