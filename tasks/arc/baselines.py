"""Trivial baselines of every metric, and the most that demonstrations allow.

copy    the output is the input
common  the output is the most common output of the task's training pairs (of its demonstrations, if it has none)
patch   every cell becomes what the most similar 3 x 3 patch of the demonstrations became, without learning
repeat  every cell equals the true cell before it (black at first); it needs the true cells, so it generates nothing
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.arc.generators.concept import Pair
from tasks.arc.grids import N_COLOURS
from tasks.arc.metric import cell_scores, generated_scores


def most_common(grids: Sequence[np.ndarray]) -> np.ndarray:
    """Return the grid that occurs most often; of several the first."""
    keys = [(grid.shape, grid.tobytes()) for grid in grids]
    return grids[keys.index(Counter(keys).most_common(1)[0][0])]


def ceiling(given: np.ndarray, expected: np.ndarray, demonstrations: Sequence[Pair]) -> float:
    """Return the chance to know the colours of an output from its input and the demonstrations alone, from 0 to 1.

    It is 1 where every colour of the output stands in one of them. To colours that stand nowhere nothing gives
    different roles: who needs m of k such colours picks the right ones, in their order, once in k! / (k - m)!. That is
    a bound from above: whether anything else of the rule can be told from the demonstrations is not asked. Black, the
    background, counts as known.
    """
    shown = {0, *np.unique(given), *(colour for pair in demonstrations for grid in pair for colour in np.unique(grid))}
    return 1 / math.perm(N_COLOURS - len(shown), len(set(np.unique(expected)) - shown))


def scores(
    inputs: Sequence[np.ndarray], references: Sequence[np.ndarray], guesses: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Return metric -> baseline -> value, each from 0 to 1.

    Args:
        inputs, references: the grids of N examples. guesses: baseline -> what it answers to each, apart from `repeat`.
    """
    by_baseline: dict[str, dict[str, float]] = {}
    for name, guess in guesses.items():
        cells = [_lay_over(grid, true) for grid, true in zip(guess, references, strict=True)]
        generated = generated_scores([[grid] for grid in guess], references)
        del generated["parse_rate"]  # a guess is always a grid
        by_baseline[name] = {**generated, **cell_scores(cells, references, inputs)}
    repeated = [np.concatenate([[0], grid.ravel()[:-1]]) for grid in references]
    by_baseline["repeat"] = cell_scores(repeated, references, inputs)
    return {
        metric: {name: values[metric] for name, values in by_baseline.items() if metric in values}
        for metric in next(iter(by_baseline.values()))
    }


def _lay_over(guess: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the guess where the true grid has cells, black where the guess has none; flat."""
    cells = np.zeros_like(true)
    height, width = min(guess.shape[0], true.shape[0]), min(guess.shape[1], true.shape[1])
    cells[:height, :width] = guess[:height, :width]
    return cells.ravel()
