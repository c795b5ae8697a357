"""Trivial baselines of every metric.

copy    the output is the input
common  the output is the most common output of the task's training pairs (of its demonstrations, if it has none)
repeat  every cell equals the true cell before it (black at first); it needs the true cells, so it generates nothing
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tasks.arc.metric import cell_scores, generated_scores


def most_common(grids: Sequence[np.ndarray]) -> np.ndarray:
    """Return the grid that occurs most often; of several the first."""
    keys = [(grid.shape, grid.tobytes()) for grid in grids]
    return grids[keys.index(Counter(keys).most_common(1)[0][0])]


def scores(
    inputs: Sequence[np.ndarray], references: Sequence[np.ndarray], common: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Return metric -> baseline -> value, each from 0 to 1.

    Args:
        inputs, references: the grids of N examples. common: for each the most common output of its task.
    """
    by_baseline: dict[str, dict[str, float]] = {}
    for name, guess in (("copy", inputs), ("common", common)):
        cells = [_lay_over(grid, true) for grid, true in zip(guess, references, strict=True)]
        generated = generated_scores([[grid] for grid in guess], references)
        del generated["parse_rate"]  # a guess is always a grid
        by_baseline[name] = {**generated, **cell_scores(cells, references, inputs)}
    repeated = [np.concatenate([[0], grid.ravel()[:-1]]) for grid in references]
    by_baseline["repeat"] = cell_scores(repeated, references, inputs)
    return {
        metric: {name: values[metric] for name, values in by_baseline.items() if metric in values}
        for metric in by_baseline["copy"]
    }


def _lay_over(guess: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the guess where the true grid has cells, black where the guess has none; flat."""
    cells = np.zeros_like(true)
    height, width = min(guess.shape[0], true.shape[0]), min(guess.shape[1], true.shape[1])
    cells[:height, :width] = guess[:height, :width]
    return cells.ravel()
