"""Solve tasks without learning: every cell becomes what the most similar 3 x 3 patch of the demonstrations became.

    python -m tasks.arc.nearest_patch --max_side 10 --n_context 4

It builds the dataset of `arc` and prints how many held-out pairs of each task that is not in training this solves, and
how many could be solved at most (see `tasks.arc.baselines.ceiling`).
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.arc.generators.concept import Pair
from tasks.arc.options import ArcOptions
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.settings.command import command

_OUTSIDE = -1


def nearest_patch(given: np.ndarray, demonstrations: Sequence[Pair]) -> np.ndarray:
    """Return the guess at the output of an input, as large as the input.

    Patches are compared by the number of equal cells; the first of the most similar ones counts. It is the input if no
    demonstration keeps the size of its own.
    """
    alike = [(before, after) for before, after in demonstrations if before.shape == after.shape]
    if not alike:
        return given
    shown_P9 = np.concatenate([_patches(before) for before, _ in alike])
    became_P = np.concatenate([after.ravel() for _, after in alike])
    equal_CP = (_patches(given)[:, None] == shown_P9).sum(axis=-1)
    return became_P[equal_CP.argmax(axis=1)].reshape(given.shape)


@command(ArcOptions)
def main(options: ArcOptions) -> None:
    """Print the pairs that are solved, by task."""
    from tasks.arc.baselines import ceiling
    from tasks.arc.data import build

    found: dict[str, list[tuple[float, float]]] = {}
    unseen: Any = build(options).splits.get("unseen_tasks")
    if unseen is None:
        raise UserError(
            f"--unseen_source {options.unseen_source}, --n_val {options.n_val} and --n_test {options.n_test} leave no"
            " pair of an unseen task to solve; give others"
        )
    for row in unseen:
        given, expected = (np.array(row[name], np.uint8) for name in ("input", "output"))
        shown = [[np.array(grid, np.uint8) for grid in row[name]] for name in ("context_inputs", "context_outputs")]
        pairs = list(zip(*shown, strict=True))
        solved = np.array_equal(nearest_patch(given, pairs), expected)
        found.setdefault(row["task"], []).append((solved, ceiling(given, expected, pairs)))
    found["all"] = [numbers for of in list(found.values()) for numbers in of]
    sums = {task: np.sum(of, axis=0) for task, of in found.items()}
    rows = [
        {"task": task, "solved": int(solved), "at most": at_most, "pairs": len(found[task])}
        for task, (solved, at_most) in sums.items()
    ]
    print(format_table(rows, {"at most": ".1f"}))


def _patches(grid: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 cells around every cell, (cells, 9) int8, `_OUTSIDE` beyond the edges."""
    padded = np.pad(grid.astype(np.int8), 1, constant_values=_OUTSIDE)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)


if __name__ == "__main__":
    sys.exit(main())
