"""Generated ARC tasks about objects: counted, gathered, attracted, surrounded."""

import numpy as np
from scipy import ndimage

from tasks.arc.generators.concept import Concept, Grid, Pair, between, blank, draw_colours, spaced

_RED, _GREEN, _GREY = 2, 3, 5
_AROUND: list[tuple[int, int]] = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
_CORNERS: dict[tuple[int, int], int] = {(-1, -1): 3, (-1, 1): 6, (1, -1): 8, (1, 1): 7}


def _count_rooms(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 6, max_side), between(rng, 6, max_side)
    wall, ground = draw_colours(rng, 2)
    rows, columns = (
        [place + 1 for place in spaced(rng, side - 2, between(rng, 1, min((side - 1) // 2, side // 5 + 2)))]
        for side in (height, width)
    )
    grid = blank(height, width, ground)
    grid[rows], grid[:, columns] = wall, wall
    return grid, blank(len(rows) + 1, len(columns) + 1, ground)


def _solve_count_rooms(grid: Grid) -> Grid:
    is_wall_row = (grid == grid[:, :1]).all(axis=1)
    wall = grid[is_wall_row][0, 0]
    is_wall_column = (grid == wall).all(axis=0)
    ground = grid[grid != wall][0]
    height, width = (ndimage.label(~is_wall)[1] for is_wall in (is_wall_row, is_wall_column))  # pyright: ignore
    return blank(height, width, int(ground))


def _gather(rng: np.random.Generator, max_side: int) -> Pair:
    """Draw grey centres, each with some of its neighbours, which together form one 3x3 tile."""
    side = between(rng, 9, max(9, min(max_side, 14)))
    output = blank(3, 3)
    grid = blank(side, side)
    output[1, 1] = _GREY
    centres = _apart(rng, side, between(rng, 2, 4))
    for number in rng.permutation(8)[: between(rng, 6, 8)]:
        r, c = _AROUND[int(number)]
        output[1 + r, 1 + c] = draw_colours(rng, 1, without=(0, _GREY))[0]
        row, column = centres[between(rng, 0, len(centres) - 1)]
        grid[row + r, column + c] = output[1 + r, 1 + c]
    for row, column in centres:
        grid[row, column] = _GREY
    return grid, output


def _apart(rng: np.random.Generator, side: int, count: int) -> list[tuple[int, int]]:
    """Draw cells whose 3x3 surroundings lie inside and do not meet; fewer than `count` if there is no place."""
    cells: list[tuple[int, int]] = []
    for _ in range(200):
        cell = (between(rng, 1, side - 2), between(rng, 1, side - 2))
        if len(cells) < count and all(max(abs(cell[0] - r), abs(cell[1] - c)) > 2 for r, c in cells):
            cells.append(cell)
    return cells


def _solve_gather(grid: Grid) -> Grid:
    padded = np.pad(grid, 1)
    return np.max([padded[r : r + 3, c : c + 3] for r, c in np.argwhere(grid == _GREY)], axis=0)


def _attract(rng: np.random.Generator, max_side: int) -> Pair:
    """Draw lines that frame a rectangle; dots of one line's colour inside grow towards that line."""
    height, width = between(rng, 8, max_side), between(rng, 8, max_side)
    top, bottom = spaced(rng, height, 2, gap=4)
    left, right = spaced(rng, width, 2, gap=4)
    palette = draw_colours(rng, 4)
    lines = [np.s_[top, :], np.s_[bottom, :], np.s_[:, left], np.s_[:, right]]
    grid = blank(height, width)
    dots = rng.random((height, width)) < 0.12
    dots[between(rng, top + 1, bottom - 1), between(rng, left + 1, right - 1)] = True
    pull = between(rng, 0, 3)
    grid[dots] = palette[pull]
    for line in rng.permutation(4):
        grid[lines[line]] = palette[line]
    output = grid[top : bottom + 1, left : right + 1].copy()
    framed, inside = output[1:-1, 1:-1], dots[top + 1 : bottom, left + 1 : right]
    axis, is_ahead = pull // 2, pull % 2 == 0
    grown = np.maximum.accumulate(np.flip(inside, axis) if is_ahead else inside, axis=axis)
    framed[np.flip(grown, axis) if is_ahead else grown] = palette[pull]
    return grid, output


def _solve_attract(grid: Grid) -> Grid:
    (top, bottom), (left, right) = _line_places(grid), _line_places(grid.T)
    output = grid[top : bottom + 1, left : right + 1].copy()
    framed = output[1:-1, 1:-1]
    colour = framed.max()
    sides = {"top": grid[top], "bottom": grid[bottom], "left": grid[:, left], "right": grid[:, right]}
    towards = next(name for name, line in sides.items() if np.bincount(line).argmax() == colour)
    for r, c in np.argwhere(framed == colour):
        reach = {"top": np.s_[: r + 1, c], "bottom": np.s_[r:, c], "left": np.s_[r, : c + 1], "right": np.s_[r, c:]}
        framed[reach[towards]] = colour
    return output


def _line_places(grid: Grid) -> tuple[int, int]:
    """Return the two rows of one colour, where the columns' lines may cross them."""
    full = [r for r, row in enumerate(grid) if row.all() and np.bincount(row).max() >= len(row) - 2]
    return full[0], full[-1]


def _four_corners(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 3, max_side), between(rng, 3, max_side)
    row, column = between(rng, 0, height - 1), between(rng, 0, width - 1)
    grid, output = blank(height, width), blank(height, width)
    grid[row, column] = _RED
    for (r, c), colour in _CORNERS.items():
        if 0 <= row + r < height and 0 <= column + c < width:
            output[row + r, column + c] = colour
    return grid, output


def _solve_four_corners(grid: Grid) -> Grid:
    ((row, column),) = np.argwhere(grid == _RED)
    framed = np.pad(np.zeros_like(grid), 1)
    framed[row : row + 3, column : column + 3] = [[3, 0, 6], [0, 0, 0], [8, 0, 7]]
    return framed[1:-1, 1:-1]


def _halo(rng: np.random.Generator, max_side: int) -> Pair:
    """Draw red dominoes, which get a green border, and single red cells, which do not; they touch at corners only."""
    height, width = between(rng, 6, max_side), between(rng, 6, max_side)
    grid, (taken, halo) = blank(height, width), np.zeros((2, height, width), bool)
    n_dominoes, n_singles = between(rng, 1, max(2, height * width // 30)), between(rng, 1, height * width // 10)
    for size in [2] * n_dominoes + [1] * n_singles:
        tall, wide = (size, 1) if rng.random() < 0.5 else (1, size)
        row, column = between(rng, 0, height - tall), between(rng, 0, width - wide)
        piece = np.s_[row : row + tall, column : column + wide]
        if taken[piece].any():
            continue
        grid[piece] = _RED
        rows, columns = (np.s_[max(0, place - 1) : place + long + 1] for place, long in ((row, tall), (column, wide)))
        taken[rows, piece[1]] = taken[piece[0], columns] = True
        halo[rows, columns] |= size == 2
    return grid, np.where(grid == 0, halo * _GREEN, grid).astype(np.uint8)


def _solve_halo(grid: Grid) -> Grid:
    labels, _ = ndimage.label(grid == _RED)  # pyright: ignore
    dominoes = (np.bincount(labels.ravel()) == 2)[labels] & (grid == _RED)
    halo = ndimage.binary_dilation(dominoes, np.ones((3, 3)))
    return np.where(halo & (grid == 0), _GREEN, grid).astype(np.uint8)


CONCEPTS = {
    "1190e5a7": Concept("C1", "count the rooms between the walls", _count_rooms, _solve_count_rooms),
    "137eaa0f": Concept("A2", "gather the neighbours of all grey cells", _gather, _solve_gather),
    "5daaa586": Concept("A1", "crop the frame; dots grow to the line of their colour", _attract, _solve_attract),
    "a9f96cdd": Concept("S3", "four colours at the corners of the red cell", _four_corners, _solve_four_corners),
    "b27ca6d3": Concept("A2", "a green border around red dominoes", _halo, _solve_halo),
}
