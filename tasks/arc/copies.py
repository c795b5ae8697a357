"""Find tasks that must not be trained on: an unseen task under another name, turned, mirrored or in other colours."""

from collections.abc import Hashable, Sequence

import numpy as np

from tasks.arc.generators.concept import Grid, Pair
from tasks.arc.sources import ArcTask

_TELLING = 16  # cells of a pair: the looks of smaller ones coincide by chance, so these count only as they are


def without_copies(seen: Sequence[ArcTask], unseen: Sequence[ArcTask], notes: list[str]) -> list[ArcTask]:
    """Return the training tasks that share neither name nor pair with an unseen one, also by another look.

    Args:
        notes: gets a sentence with the number of those that are left out.
    """
    names = {task.name for task in unseen}
    pairs = [pair for task in unseen for pair in task.pairs]
    exact, sizes, looks = (set(map(key, pairs)) for key in (_key, _size, look))

    def is_copied(pair: Pair) -> bool:
        return _key(pair) in exact or (_size(pair) in sizes and _is_telling(pair) and look(pair) in looks)

    clean = [task for task in seen if task.name not in names and not any(map(is_copied, task.pairs))]
    if dropped := len(seen) - len(clean):
        notes.append(
            f"{dropped} of {len(seen)} training tasks are left out: an unseen task has the same name or shares a pair,"
            " perhaps turned, mirrored or in other colours"
        )
    return clean


def look(pair: Pair) -> Hashable:
    """Return what a pair has in common with all that it becomes by turns, mirrors and exchanges of the ten colours."""
    return min(map(_renamed, zip(*map(_images, pair), strict=True)))


def _images(grid: Grid) -> list[Grid]:
    """Return the grid under the eight symmetries of the square."""
    turned = [np.rot90(grid, quarters) for quarters in range(4)]
    return turned + [one.T for one in turned]


def _renamed(pair: Pair) -> tuple[tuple[tuple[int, ...], ...], bytes]:
    """Return shapes and cells of a pair, its colours numbered by order of appearance."""
    cells = np.concatenate([grid.ravel() for grid in pair])
    colours, first, number = np.unique(cells, return_index=True, return_inverse=True)
    order = np.empty(len(colours), np.uint8)
    order[first.argsort()] = range(len(colours))
    return tuple(grid.shape for grid in pair), order[number].tobytes()


def _size(pair: Pair) -> Hashable:
    """Return what turns and colours leave as it is and is quickly known: the sides, and the cells of equal colour."""
    counts = [np.sort(np.bincount(grid.ravel(), minlength=10)).tobytes() for grid in pair]
    return *((min(grid.shape), max(grid.shape)) for grid in pair), *counts


def _is_telling(pair: Pair) -> bool:
    return sum(grid.size for grid in pair) >= _TELLING


def _key(pair: Pair) -> Hashable:
    return tuple((grid.shape, grid.tobytes()) for grid in pair)
