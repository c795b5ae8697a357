"""Generated ARC tasks about lines: completed, crossed, nearest, drawn between objects."""

from itertools import pairwise

import numpy as np

from tasks.arc.generators.concept import Concept, Grid, Pair, between, blank, draw_colours, scattered, spaced

_GREEN, _RED, _BLUE, _GREY, _AZURE = 3, 2, 1, 5, 8


def _three_diagonals(rng: np.random.Generator, max_side: int) -> Pair:
    side = between(rng, 5, max_side)
    number = np.indices((side, side)).sum(axis=0)  # of each cell's anti-diagonal
    full = np.array(draw_colours(rng, 3), dtype=np.uint8)[number % 3]
    shown = rng.choice(2 * side - 1, between(rng, 3, 5), replace=False)
    while set((shown % 3).tolist()) != {0, 1, 2}:
        shown = rng.choice(2 * side - 1, len(shown), replace=False)
    return np.where(np.isin(number, shown), full, 0).astype(np.uint8), full


def _solve_three_diagonals(grid: Grid) -> Grid:
    number = np.indices(grid.shape).sum(axis=0) % 3
    return np.array([grid[number == n].max() for n in range(3)], dtype=np.uint8)[number]


def _diagonal_cross(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 3, max_side), between(rng, 3, max_side)
    row, column = between(rng, 0, height - 1), between(rng, 0, width - 1)
    (colour,) = draw_colours(rng, 1)
    grid = blank(height, width)
    grid[row, column] = colour
    far = np.abs(np.arange(height) - row)[:, None] == np.abs(np.arange(width) - column)[None]
    return grid, (far * colour).astype(np.uint8)


def _solve_diagonal_cross(grid: Grid) -> Grid:
    ((row, column),) = np.argwhere(grid)
    r, c = np.indices(grid.shape)
    return np.where(abs(r - row) == abs(c - column), grid[row, column], 0).astype(np.uint8)


def _nearest_border(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 5, max_side), between(rng, 5, max_side)
    left, right = draw_colours(rng, 2, without=(0, _GREEN))
    dots = scattered(rng, height, width, rng.uniform(0.02, 0.15))
    dots[:, [0, -1]] = False
    if width % 2:
        dots[:, width // 2] = False  # as near to one border as to the other
    dots[between(rng, 0, height - 1), between(rng, 1, (width - 1) // 2 - (width % 2 == 1))] = True
    nearest = np.where(np.arange(width) < width / 2, left, right).astype(np.uint8)
    grid, output = (dots * _GREEN).astype(np.uint8), (dots * nearest).astype(np.uint8)
    for drawn in (grid, output):
        drawn[:, 0], drawn[:, -1] = left, right
    return (grid, output) if rng.random() < 0.5 else (grid.T.copy(), output.T.copy())


def _solve_nearest_border(grid: Grid) -> Grid:
    upright = grid if len(set(grid[:, 0].tolist())) == 1 and grid[0, 0] else grid.T
    output = upright.copy()
    for r, c in np.argwhere(upright == _GREEN):
        output[r, c] = upright[r, 0] if 2 * c < upright.shape[1] - 1 else upright[r, -1]
    return output if upright is grid else output.T


def _crossings(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 5, max_side), between(rng, 5, max_side)
    share = rng.uniform(0.2, 0.6)
    top, side = scattered(rng, 1, width - 1, share)[0], scattered(rng, height - 1, 1, share)[:, 0]
    grid = blank(height, width)
    grid[0, :-1], grid[1:, -1] = top * _GREY, side * _GREY
    output = grid.copy()
    output[1:, :-1] = np.outer(side, top) * _RED
    return grid, output


def _solve_crossings(grid: Grid) -> Grid:
    output = grid.copy()
    output[np.ix_(np.flatnonzero(grid[1:, -1]) + 1, np.flatnonzero(grid[0, :-1]))] = _RED
    return output


def _staircase(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 5, max_side), between(rng, 5, max_side)
    row, length = between(rng, 1, height - 2), between(rng, 2, width - 1)
    grid = blank(height, width)
    grid[row, :length] = _RED
    lengths = length + row - np.arange(height)
    filled = np.arange(width) < lengths[:, None]
    shade = np.where(np.arange(height) < row, _GREEN, np.where(np.arange(height) == row, _RED, _BLUE))
    return grid, (filled * shade[:, None]).astype(np.uint8)


def _solve_staircase(grid: Grid) -> Grid:
    row, length = int(np.argmax(grid.any(axis=1))), int(grid.any(axis=0).sum())
    output = np.zeros_like(grid)
    for r in range(len(grid)):
        output[r, : max(0, length + row - r)] = _GREEN if r < row else _RED if r == row else _BLUE
    return output


def _free_lines(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 6, max_side), between(rng, 6, max_side)
    (colour,) = draw_colours(rng, 1, without=(0, _RED))
    filled = rng.random((height, width)) < 0.7
    rows = spaced(rng, height, between(rng, 0, max(1, height // 8)))
    columns = spaced(rng, width, between(rng, 0 if rows else 1, max(1, width // 8)))
    for r in set(range(height)) - set(rows):  # no other row or column may be free by chance
        filled[r, rng.choice([c for c in range(width) if c not in columns])] = True
    for c in set(range(width)) - set(columns):
        filled[rng.choice([r for r in range(height) if r not in rows]), c] = True
    filled[rows], filled[:, columns] = False, False
    grid = (filled * colour).astype(np.uint8)
    output = grid.copy()
    output[rows], output[:, columns] = _RED, _RED
    return grid, output


def _solve_free_lines(grid: Grid) -> Grid:
    output = grid.copy()
    output[~grid.any(axis=1)] = _RED
    output[:, ~grid.any(axis=0)] = _RED
    return output


def _joined_dots(rng: np.random.Generator, max_side: int) -> Pair:
    while True:
        height, width = between(rng, 6, max_side), between(rng, 6, max_side)
        dots = scattered(rng, height, width, 0.09)
        between_dots = (_enclosed(dots, 0) | _enclosed(dots, 1)) & ~dots
        if between_dots.any():
            return dots.astype(np.uint8), np.where(between_dots, _AZURE, dots).astype(np.uint8)


def _enclosed(dots: np.ndarray, axis: int) -> np.ndarray:
    """Mark the cells with a dot at or before them, and one at or after them, along the axis."""
    before = np.maximum.accumulate(dots, axis=axis)
    behind = np.flip(np.maximum.accumulate(np.flip(dots, axis), axis=axis), axis)
    return before & behind


def _solve_joined_dots(grid: Grid) -> Grid:
    output = grid.copy()
    for view, lines in ((grid, output), (grid.T, output.T)):
        for source, line in zip(view, lines, strict=True):
            for start, end in pairwise(np.flatnonzero(source == _BLUE)):
                line[start + 1 : end] = _AZURE
    return output


CONCEPTS = {
    "05269061": Concept("S1", "three colours along all diagonals", _three_diagonals, _solve_three_diagonals),
    "623ea044": Concept("S3", "diagonals through the only cell", _diagonal_cross, _solve_diagonal_cross),
    "2204b7a8": Concept("S1", "dots take the nearer border's colour", _nearest_border, _solve_nearest_border),
    "2281f1f4": Concept("L1", "red where marked rows and columns cross", _crossings, _solve_crossings),
    "a65b410d": Concept("S3", "a staircase above and below the bar", _staircase, _solve_staircase),
    "c1d99e64": Concept("C1", "colour the free rows and columns", _free_lines, _solve_free_lines),
    "dbc1a6ce": Concept("C1", "join dots of one row or column", _joined_dots, _solve_joined_dots),
}
