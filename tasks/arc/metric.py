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
    return {name: float(of.mean()) for name, of in scores_of_grids(attempts, references).items()}


def scores_of_grids(attempts: Sequence[Any], references: Sequence[Any]) -> dict[str, np.ndarray]:
    """Return for every example whether its generated grids are right (see `GridMatch`), (n,) bool by metric."""
    right = [[same(attempt, true) for attempt in tried[:2]] for tried, true in zip(attempts, references, strict=True)]
    first = [tried[0] if len(tried) else [] for tried in attempts]
    scores = {
        "exact_match": [tried[:1] == [True] for tried in right],
        "pass_at_2": [any(tried) for tried in right],
        "shape_accuracy": [np.shape(a) == np.shape(b) for a, b in zip(first, references, strict=True)],
        "parse_rate": [np.size(grid) > 0 for grid in first],
    }
    return {name: np.array(values) for name, values in scores.items()}


def cell_scores(predicted: Sequence[Any], references: Sequence[Any], inputs: Sequence[Any]) -> dict[str, float]:
    """Return the scores of single cells (see `GridMatch`); `predicted` is flat, row by row, for each example.

    Raises:
        ValueError: an example has more or fewer predicted cells than its reference.
    """
    counts = counts_of_cells(predicted, references, inputs)
    return {name: _share(float(part.sum()), int(of.sum())) for name, (part, of) in counts.items()}


def counts_of_cells(
    predicted: Sequence[Any], references: Sequence[Any], inputs: Sequence[Any]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for every example, by metric, how many count as right and of how many, (n,) each; see `cell_scores`."""
    true = [np.ravel(grid) for grid in references]
    if [len(cells) for cells in predicted] != [len(cells) for cells in true]:
        raise ValueError("teacher_forced needs one colour for every cell of the reference, row by row")
    said = [np.asarray(cells) for cells in predicted]
    # Of another shape than its output, an input has no cells to compare with.
    before = [np.ravel(b) if np.shape(b) == np.shape(a) else None for b, a in zip(inputs, references, strict=True)]
    rows = [_counts(*example) for example in zip(said, true, before, strict=True)]
    pairs = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {name: (of_N2[:, 0], of_N2[:, 1]) for name, of_N2 in pairs.items()}


def _counts(said: np.ndarray, true: np.ndarray, before: np.ndarray | None) -> dict[str, tuple[int, int]]:
    right = said == true
    counts = {"cell_accuracy": (int(right.sum()), len(true)), "grid_accuracy": (int(right.all()), 1)}
    if before is None:
        return {**counts, **dict.fromkeys(("copy_rate", "change_recall", "change_precision"), (0, 0))}
    changes, said_to_change = true != before, said != before
    both, said_changes = int((changes & said_to_change).sum()), int(said_to_change.sum())
    return {
        **counts,
        "copy_rate": (len(said) - said_changes, len(said)),
        "change_recall": (both, int(changes.sum())),
        "change_precision": (both, said_changes),
    }


def same(attempt: Any, true: Any) -> bool:
    """Return whether two grids are equal, shapes included."""
    return np.shape(attempt) == np.shape(true) and bool(np.array_equal(attempt, true))


def _share(part: float, total: int) -> float:
    return part / total if total else 0.0
