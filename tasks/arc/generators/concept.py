"""Form of a generated ARC task, and the draws that generators share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Grid = np.ndarray
"""(height, width) uint8, colours 0-9; 0 is the background."""
Pair = tuple[Grid, Grid]

LARGEST_SIDE = 30


@dataclass(frozen=True)
class Concept:
    """One ARC task as a procedure.

    Attributes:
        skill: category of the task taxonomy (S spatial, C counting and choosing, A aggregation and attraction, L logic,
            K scaling), with a number.
        rule: the rule in a few words.
        generate: (random generator, largest side) -> a pair; the output is built together with the input.
        solve: input -> output, from the input alone. It solves the pairs of the real task, too.
    """

    skill: str
    rule: str
    generate: Callable[[np.random.Generator, int], Pair]
    solve: Callable[[Grid], Grid]


def blank(height: int, width: int, colour: int = 0) -> Grid:
    """Return a grid of one colour."""
    return np.full((height, width), colour, dtype=np.uint8)


def between(rng: np.random.Generator, least: int, most: int) -> int:
    """Draw an integer, both ends included."""
    return int(rng.integers(least, most + 1))


def draw_colours(rng: np.random.Generator, count: int, without: tuple[int, ...] = (0,)) -> list[int]:
    """Draw different colours in random order."""
    return rng.permutation([colour for colour in range(10) if colour not in without])[:count].tolist()


def scattered(rng: np.random.Generator, height: int, width: int, share: float) -> np.ndarray:
    """Draw a mask (height, width), each cell with probability `share`, at least one."""
    cells = rng.random((height, width)) < share
    cells[between(rng, 0, height - 1), between(rng, 0, width - 1)] = True
    return cells


def spaced(rng: np.random.Generator, length: int, count: int, gap: int = 2) -> list[int]:
    """Draw `count` sorted places in 0...length-1, at least `gap` apart; needs length > (count - 1) * gap."""
    free = length - (count - 1) * (gap - 1)
    return (np.sort(rng.choice(free, count, replace=False)) + np.arange(count) * (gap - 1)).tolist()
