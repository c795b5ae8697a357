"""The metric of `arc`: generated grids, exactly right or not, and cells under teacher forcing."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from datasets import List, Value

from trainers.common.local_metric import LocalMetric

_INPUTS = """
Args:
    predictions: for each example a list of attempts, the first one first; a grid is a list of rows, [] if unreadable.
    references: the true output grids. inputs: the input grids.
    teacher_forced: for each example the colour predicted for each cell of the true output, row by row, when all cells
        before it are the true ones.
Returns, shares from 0 to 1:
    exact_match: the first attempt is the true grid. pass_at_2: one of the first two is (the ARC prize's score).
    shape_accuracy: the first attempt has the true shape. parse_rate: it is a grid at all.
    cell_accuracy: of all cells of all examples (micro). grid_accuracy: examples with every cell right, shape given.
    copy_rate, change_recall, change_precision: of examples whose output has the input's shape, cells predicted as in
        the input; of cells that the rule changes, those predicted to change; of those predicted to change, those that
        the rule changes. 0 where there are no such cells.
"""

_CELLS = List(Value("uint8"))
_GRID = List(_CELLS)


class GridMatch(LocalMetric):
    """`evaluate.load("tasks/arc/metric.py")` or `GridMatch()`."""

    about = "Exact match of generated ARC grids, shape included, and cell by cell under teacher forcing."
    inputs = _INPUTS
    columns: ClassVar = {"predictions": List(_GRID), "references": _GRID, "inputs": _GRID, "teacher_forced": _CELLS}

    def score(self, predictions: Any, references: Any, inputs: Any, teacher_forced: Any) -> dict[str, float]:
        return {**generated_scores(predictions, references), **cell_scores(teacher_forced, references, inputs)}


def generated_scores(attempts: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    """Return the scores of generated grids (see `GridMatch`); lists or arrays."""
    right = [[same(attempt, true) for attempt in tried[:2]] for tried, true in zip(attempts, references, strict=True)]
    first = [tried[0] if len(tried) else [] for tried in attempts]
    return {
        "exact_match": float(np.mean([tried[:1] == [True] for tried in right])),
        "pass_at_2": float(np.mean([any(tried) for tried in right])),
        "shape_accuracy": float(np.mean([np.shape(a) == np.shape(b) for a, b in zip(first, references, strict=True)])),
        "parse_rate": float(np.mean([np.size(grid) > 0 for grid in first])),
    }


def cell_scores(predicted: Sequence[Any], references: Sequence[Any], inputs: Sequence[Any]) -> dict[str, float]:
    """Return the scores of single cells (see `GridMatch`); `predicted` is flat, row by row, for each example.

    Raises:
        ValueError: an example has more or fewer predicted cells than its reference.
    """
    true = [np.ravel(grid) for grid in references]
    if [len(cells) for cells in predicted] != [len(cells) for cells in true]:
        raise ValueError("teacher_forced needs one colour for every cell of the reference, row by row")
    right = [np.asarray(cells) == wanted for cells, wanted in zip(predicted, true, strict=True)]
    same_shape = [i for i, grid in enumerate(references) if np.shape(grid) == np.shape(inputs[i])]
    before, after, said = (_flat([part[i] for i in same_shape]) for part in (inputs, references, predicted))
    changes, said_to_change = after != before, said != before
    both = float((changes & said_to_change).sum())
    return {
        "cell_accuracy": float(np.concatenate(right).mean()),
        "grid_accuracy": float(np.mean([cells.all() for cells in right])),
        "copy_rate": _share(float((~said_to_change).sum()), len(before)),
        "change_recall": _share(both, int(changes.sum())),
        "change_precision": _share(both, int(said_to_change.sum())),
    }


def same(attempt: Any, true: Any) -> bool:
    """Return whether two grids are equal, shapes included."""
    return np.shape(attempt) == np.shape(true) and bool(np.array_equal(attempt, true))


def _flat(parts: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.uint8), *(np.ravel(part).astype(np.uint8) for part in parts)])


def _share(part: float, total: int) -> float:
    return part / total if total else 0.0
