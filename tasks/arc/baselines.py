"""What can be scored without understanding anything: the trivial baselines that stand beside every metric.

copy    the output is the input
common  the output is the most common output of the task's training pairs (of its demonstrations, if it has none)
repeat  every cell is what the true cell before it is (black at first); it needs the true cells, so it generates nothing
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.arc.metric import cell_scores, generated_scores


def most_common(grids: Sequence[np.ndarray]) -> np.ndarray:
    """The grid that occurs most often; of several the first."""
    by_key = {(grid.shape, grid.tobytes()): grid for grid in grids}
    counted = Counter((grid.shape, grid.tobytes()) for grid in grids)
    return by_key[counted.most_common(1)[0][0]]


def scores(
    inputs: Sequence[np.ndarray], references: Sequence[np.ndarray], common: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Metric -> baseline -> value, each from 0 to 1.

    Arguments:
        inputs, references: the grids of N rows. common: for each row its task's most common output.
    """
    by_metric: dict[str, dict[str, float]] = {}
    guesses: Mapping[str, Sequence[np.ndarray]] = {"copy": inputs, "common": common}
    for name, guess in guesses.items():
        cells = [_laid_over(grid, true) for grid, true in zip(guess, references, strict=True)]
        measured = {
            **generated_scores([[grid] for grid in guess], references),
            **cell_scores(cells, references, inputs),
        }
        del measured["parse_rate"]  # a guess is always a grid
        for metric, value in measured.items():
            by_metric.setdefault(metric, {})[name] = value
    repeated = [np.concatenate([[0], grid.ravel()[:-1]]) for grid in references]
    for metric, value in cell_scores(repeated, references, inputs).items():
        by_metric[metric]["repeat"] = value
    return by_metric


def _laid_over(guess: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The guess where the true grid has cells, black where the guess has none; flat."""
    cells = np.zeros_like(true)
    height, width = min(guess.shape[0], true.shape[0]), min(guess.shape[1], true.shape[1])
    cells[:height, :width] = guess[:height, :width]
    return cells.ravel()
