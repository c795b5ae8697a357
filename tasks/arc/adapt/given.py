"""What a task gives to adapt to: K demonstrations, the same for all of its queries, and the queries' inputs."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.arc.generators.concept import Grid, Pair
from tasks.arc.rows import ArcRows
from trainers.errors import UserError, suggest


@dataclass(frozen=True)
class Given:
    """One task as a model may see it; no output of a query is here.

    Attributes:
        task: its name. context: the number of demonstrations that was asked for.
        demonstrations: so many of the task's, or all that it has. queries: inputs to answer.
    """

    task: str
    context: int
    demonstrations: list[Pair]
    queries: list[Grid]

    @property
    def keeps_shape(self) -> bool:
        """Whether every output that is shown has the shape of its input."""
        return all(before.shape == after.shape for before, after in self.demonstrations)

    def rng(self, seed: int, use: str) -> np.random.Generator:
        """Return random numbers that depend on the task, the number of demonstrations, a seed and their use."""
        return np.random.default_rng([seed, self.context, *f"{self.task} {use}".encode()])

    def shuffled(self, seed: int) -> "Given":
        """Return the control: every input has the output of another demonstration, nothing else is changed."""
        order = self.rng(seed, "outputs").permutation(len(self.demonstrations))
        outputs = {int(place): int(other) for place, other in zip(order, np.roll(order, 1), strict=True)}
        pairs = self.demonstrations
        return replace(
            self, demonstrations=[(before, pairs[outputs[place]][1]) for place, (before, _) in enumerate(pairs)]
        )


def rows_of_tasks(rows: ArcRows, names: str, n_queries: int | None) -> dict[str, list[int]]:
    """Return task -> the rows of a split that are its queries.

    Args:
        names: With commas between; empty for all.

    Raises:
        UserError: the split has no such task.
    """
    found: dict[str, list[int]] = {}
    for row, task in enumerate(rows.tasks.tolist()):
        found.setdefault(task, []).append(row)
    asked = [name.strip() for name in names.split(",")] if names else list(found)
    if missing := [name for name in asked if name not in found]:
        raise UserError(
            f"--adapt_tasks: the split {rows.split} has no task {missing[0]!r}, but {', '.join(list(found)[:20])}."
            f"{suggest(missing[0], found)}"
        )
    return {name: found[name][:n_queries] for name in dict.fromkeys(asked)}


def given_of(rows: ArcRows, task: str, chosen: Sequence[int], context: int) -> Given:
    """Return what a task gives.

    The demonstrations are drawn by `--context_seed` among all that the dataset shows of the task; those of a smaller
    number are among those of a larger one.

    Raises:
        UserError: there are fewer than two, of which none could be predicted from another.
    """
    shown = _shown(rows, task)
    if len(shown) < 2:
        raise UserError(
            f"the dataset shows {len(shown)} demonstration of the task {task}, and learning from demonstrations needs"
            " two; leave the task out (--adapt_tasks), or give --n_context 2 or more"
        )
    seeds = [rows.options["dataset_seed"], rows.options.get("context_seed", 0), zlib.crc32(task.encode())]
    order = np.random.default_rng(seeds).permutation(len(shown))
    queries = [rows.inputs.numpy(row).copy() for row in chosen]
    return Given(task, context, [shown[place] for place in order[:context]], queries)


def _shown(rows: ArcRows, task: str) -> list[Pair]:
    """Return the different demonstrations of a task in its rows, without any whose input is to be answered.

    These are copies, as the queries are: tensors that are sent to other processes move, and leave views of them behind.
    """
    own = np.flatnonzero(rows.tasks == task).tolist()
    asked = {_key(rows.inputs.numpy(row)) for row in own}
    pairs = {_key(before): (before.copy(), after.copy()) for row in own for before, after in rows.demonstrations(row)}
    return [pair for key, pair in pairs.items() if key not in asked]


def _key(grid: Grid) -> tuple[tuple[int, ...], bytes]:
    return grid.shape, grid.tobytes()
