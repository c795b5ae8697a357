"""Generated ARC tasks about the complete grid: mirrored, enlarged, reversed, cropped."""

import numpy as np

from tasks.arc.generators.concept import Concept, Grid, Pair, between, blank, draw_colours, scattered


def _few_colours(rng: np.random.Generator, height: int, width: int, most: int, background: bool) -> Grid:
    """Draw a grid of 2 to `most` colours cell by cell; black is one of them if `background`."""
    palette = draw_colours(rng, between(rng, 2, most))
    if background:
        palette[0] = 0
    grid = np.array(palette, dtype=np.uint8)[rng.integers(len(palette), size=(height, width))]
    grid[between(rng, 0, height - 1), 0] = palette[1]
    return grid


def _mirror_right(rng: np.random.Generator, max_side: int) -> Pair:
    grid = _few_colours(rng, between(rng, 2, max_side), between(rng, 2, max_side // 2), 3, background=False)
    return grid, np.hstack([grid, grid[:, ::-1]])


def _mirror_down(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 2, max_side // 2), between(rng, 2, max_side)
    grid = scattered(rng, height, width, 0.5).astype(np.uint8)  # blue on black, as in the real task
    return grid, np.vstack([grid, grid[::-1]])


def _enlarge(rng: np.random.Generator, max_side: int) -> Pair:
    grid = _few_colours(rng, between(rng, 2, max_side // 3), between(rng, 2, max_side // 3), 4, background=True)
    return grid, np.kron(grid, np.ones((3, 3), dtype=np.uint8))


def _crop_and_mirror(rng: np.random.Generator, max_side: int) -> Pair:
    height, width = between(rng, 6, max_side), between(rng, 6, max_side)
    inner_h, inner_w = between(rng, 3, height - 2), between(rng, 3, width - 2)
    ground, figure = draw_colours(rng, 2)
    thing = blank(inner_h, inner_w, ground)
    for _ in range(between(rng, 1, 4)):
        thing[_stroke(rng, inner_h, inner_w)] = figure
    grid = blank(height, width)
    top, left = between(rng, 0, height - inner_h), between(rng, 0, width - inner_w)
    grid[top : top + inner_h, left : left + inner_w] = thing
    return grid, thing[:, ::-1]


def _stroke(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows and columns of 1 to 6 cells, each a step up, down, left or right of the one before."""
    steps = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[rng.integers(4, size=between(rng, 1, 6))]
    walk = (rng.integers((height, width)) + steps.cumsum(axis=0)).clip(0, (height - 1, width - 1))
    return walk[:, 0], walk[:, 1]


def _solve_crop_and_mirror(grid: Grid) -> Grid:
    rows, columns = np.flatnonzero(grid.any(axis=1)), np.flatnonzero(grid.any(axis=0))
    return np.fliplr(grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _reverse_rings(rng: np.random.Generator, max_side: int) -> Pair:
    rings = between(rng, 2, min(max_side // 2, 9))
    palette = np.array(draw_colours(rng, rings), dtype=np.uint8)
    from_edge = np.minimum(np.arange(2 * rings), np.arange(2 * rings)[::-1])
    ring = np.minimum.outer(from_edge, from_edge)
    return palette[ring], palette[::-1][ring]


def _solve_reverse_rings(grid: Grid) -> Grid:
    diagonal = np.diagonal(grid)[: len(grid) // 2]
    swap = dict(zip(diagonal.tolist(), diagonal[::-1].tolist(), strict=True))
    return np.vectorize(swap.get, otypes=[np.uint8])(grid)


def _odd_one_out(rng: np.random.Generator, max_side: int) -> Pair:
    side = between(rng, 2, min(4, (max_side - 1) // 2))
    (colour,) = draw_colours(rng, 1)
    common = scattered(rng, side, side, 0.5)
    odd = common.copy()
    while np.array_equal(odd, common) or not odd.any():
        odd = scattered(rng, side, side, 0.5)
    tiles = [common] * 4
    tiles[between(rng, 0, 3)] = odd
    grid = blank(2 * side + 1, 2 * side + 1)
    places = [(0, 0), (0, side + 1), (side + 1, 0), (side + 1, side + 1)]
    for (row, column), tile in zip(places, tiles, strict=True):
        grid[row : row + side, column : column + side] = tile * colour
    return grid, (odd * colour).astype(np.uint8)


def _solve_odd_one_out(grid: Grid) -> Grid:
    side = len(grid) // 2
    tiles = [grid[r : r + side, c : c + side] for r in (0, side + 1) for c in (0, side + 1)]
    twins = [sum(np.array_equal(tile, other) for other in tiles) for tile in tiles]
    return tiles[int(np.argmin(twins))]


CONCEPTS = {
    "6d0aefbc": Concept("S2", "append the mirror image right", _mirror_right, lambda g: np.hstack([g, np.fliplr(g)])),
    "8be77c9e": Concept("S2", "append the mirror image below", _mirror_down, lambda g: np.vstack([g, np.flipud(g)])),
    "9172f3a0": Concept("K1", "enlarge three times", _enlarge, lambda g: g.repeat(3, axis=0).repeat(3, axis=1)),
    "7468f01a": Concept("C2", "crop the object and mirror it", _crop_and_mirror, _solve_crop_and_mirror),
    "85c4e7cd": Concept("S3", "reverse the order of the rings' colours", _reverse_rings, _solve_reverse_rings),
    "88a62173": Concept("C2", "of four tiles, the one unlike the others", _odd_one_out, _solve_odd_one_out),
}
