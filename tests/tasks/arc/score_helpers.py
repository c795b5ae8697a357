"""Random answers and their scores."""

import numpy as np

from tasks.arc.grids import N_COLOURS
from tasks.arc.metric import GridMatch

GENERATED = ("exact_match", "pass_at_2", "shape_accuracy", "parse_rate")

CELLS = ("cell_accuracy", "grid_accuracy", "copy_rate", "change_recall", "change_precision")


def any_grid(rng, shape=None, most=5):
    return rng.integers(0, N_COLOURS, rng.integers(1, most, 2) if shape is None else shape, dtype=np.uint8)


def random_rows(n=60, seed=0):
    """Inputs and outputs, half of them of one shape and alike."""
    rng = np.random.default_rng(seed)
    references = [any_grid(rng) for _ in range(n)]
    inputs = [
        np.where(rng.random(grid.shape) < 0.6, grid, any_grid(rng, grid.shape)) if row % 2 else any_grid(rng)
        for row, grid in enumerate(references)
    ]
    cells = [np.where(rng.random(grid.size) < 0.7, grid.ravel(), rng.integers(0, 10, grid.size)) for grid in references]
    return inputs, references, cells


def score(predictions, references, inputs=None, cells=None):
    inputs = references if inputs is None else inputs
    cells = [np.ravel(grid) for grid in references] if cells is None else cells
    return GridMatch().compute(
        predictions=[[np.asarray(grid).tolist() for grid in tried] for tried in predictions],
        references=[grid.tolist() for grid in references],
        inputs=[grid.tolist() for grid in inputs],
        teacher_forced=[np.asarray(row).tolist() for row in cells],
    )
