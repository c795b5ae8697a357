"""Grids as numpy and Python lists."""

import numpy as np
import torch

from tasks.arc.grids import BOS, EOS, PAD, ROW, Grids


def random_grids(seed, shapes):
    rng = np.random.default_rng(seed)
    return [rng.integers(10, size=shape).astype(np.uint8) for shape in shapes]


def some_grids(seed, count, side):
    rng = np.random.default_rng([seed, side])
    return random_grids(seed, [*rng.integers(1, side + 1, size=(count - 2, 2)).tolist(), (1, side), (side, 1)])


def written(grid):
    """A grid's tokens, one after the other."""
    ids = []
    for number, line in enumerate(np.asarray(grid).tolist()):
        ids += [ROW] * (number > 0) + line
    return ids


def padded(sequences, pad=PAD):
    width = max(map(len, sequences))
    return [[*ids, *[pad] * (width - len(ids))] for ids in sequences]


def image(grid, which):
    """A grid by one of the eight symmetries, by numpy."""
    grid = np.flipud(grid) if which & 1 else grid
    grid = np.fliplr(grid) if which & 2 else grid
    return grid.T if which & 4 else grid


def equal(grids, others):
    return all(np.array_equal(one, other) for one, other in zip(grids, others, strict=True))


def pack(grids, side):
    """Grids, none larger than `side`, in one tensor."""
    cells = np.full((len(grids), side, side), PAD, dtype=np.uint8)
    for number, grid in enumerate(grids):
        cells[number, : grid.shape[0], : grid.shape[1]] = grid
    shapes = np.array([grid.shape for grid in grids], dtype=np.int64).reshape(-1, 2)
    return Grids(torch.from_numpy(cells), torch.from_numpy(shapes[:, 0]), torch.from_numpy(shapes[:, 1]))


def shown(context):
    """The tokens of each demonstration."""
    return [[*written(before), BOS, *written(after), EOS] for before, after in context]


SPLITS = ["train", "validation", "unseen_tasks", "test"]
