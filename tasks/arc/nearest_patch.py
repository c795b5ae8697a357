"""Solve tasks without learning: every cell becomes what the most similar 3 x 3 patch of the demonstrations became.

    python -m tasks.arc.nearest_patch --max_side 10

It builds the dataset of `arc` and prints how many held-out pairs of each task that is not in training this solves.
"""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.arc.options import ArcOptions
from trainers.common.tables import format_table
from trainers.settings.command import command

_OUTSIDE = -1


def nearest_patch(row: Mapping[str, Any]) -> np.ndarray | None:
    """Return the guess at a row's output, as large as its input.

    Patches are compared by the number of equal cells; the first of the most similar ones counts. None if no
    demonstration keeps the size of its input.
    """
    pairs = zip(row["context_inputs"], row["context_outputs"], strict=True)
    alike = [(before, after) for before, after in pairs if np.shape(before) == np.shape(after)]
    if not alike:
        return None
    shown_P9 = np.concatenate([_patches(before) for before, _ in alike])
    became_P = np.concatenate([np.ravel(after) for _, after in alike])
    equal_CP = (_patches(row["input"])[:, None] == shown_P9).sum(axis=-1)
    return became_P[equal_CP.argmax(axis=1)].reshape(np.shape(row["input"]))


@command(ArcOptions)
def main(options: ArcOptions) -> None:
    """Print the pairs that are solved, by task."""
    from tasks.arc.data import build

    solved: dict[str, list[bool]] = {}
    unseen: Any = build(options).splits["unseen_tasks"]
    for row in unseen:
        solved.setdefault(row["task"], []).append(np.array_equal(nearest_patch(row), row["output"]))  # pyright: ignore
    rows = [{"task": task, "solved": sum(of), "pairs": len(of)} for task, of in solved.items()]
    total = {"task": "all", **{name: sum(row[name] for row in rows) for name in ("solved", "pairs")}}
    print(format_table([*rows, total], {}))


def _patches(grid: Any) -> np.ndarray:
    """Return the 3 x 3 cells around every cell, (cells, 9), `_OUTSIDE` beyond the edges."""
    padded = np.pad(np.asarray(grid, int), 1, constant_values=_OUTSIDE)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)


if __name__ == "__main__":
    sys.exit(main())
