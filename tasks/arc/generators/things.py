"""Things on a black grid: found in it, painted into it, drawn at random."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from tasks.arc.generators.concept import Grid

Shape = tuple[int, int]
"""Height and width of a grid."""

_CORNERS_TOO = np.ones((3, 3))
"""Neighbours of a cell: those at its corners, too."""

KINDS = ("cell", "line", "rectangle", "block", "frame", "blob", "symmetric", "again")
"""Forms: a block is a rectangle with a core, a frame one without; again is the form of the thing before."""


class Thing(NamedTuple):
    """An object: its cells as a small grid (0 where it has none), and where the top left cell of that grid lies."""

    patch: Grid
    top: int
    left: int


def find_things(grid: Grid) -> list[Thing]:
    """Return what lies on the black ground; cells that touch, at corners too, are one thing."""
    labels, _ = ndimage.label(grid, _CORNERS_TOO)  # pyright: ignore
    return [
        Thing(np.where(labels[place] == number, grid[place], 0).astype(np.uint8), place[0].start, place[1].start)
        for number, place in enumerate(ndimage.find_objects(labels), start=1)
    ]


def paint(things: Sequence[Thing], shape: Shape) -> Grid:
    """Paint things on black, later ones over earlier ones; what lies outside is cut off."""
    grid = np.zeros(shape, dtype=np.uint8)
    for patch, top, left in things:
        inside = patch[max(-top, 0) :, max(-left, 0) :]
        view = grid[max(top, 0) : max(top, 0) + len(inside), max(left, 0) : max(left, 0) + inside.shape[1]]
        inside = inside[: len(view), : view.shape[1]]
        np.copyto(view, inside, where=inside > 0)
    return grid


def roll(dice: Random, least: int, most: int) -> int:
    """Draw an integer, both ends included; four times as fast as `randint`, by which drawing things is limited."""
    return least + int(dice.random() * (most - least + 1))


def draw_things(
    dice: Random, max_side: int, colours: Sequence[int], kinds: Sequence[str] = KINDS
) -> tuple[list[Thing], Shape]:
    """Draw the sides of a grid, and up to four things of one colour each that do not touch.

    Args:
        colours: a thing's colour is one of these. kinds: a thing's form is one of these, some may be given twice.
    """
    height, width = roll(dice, 6, max_side), roll(dice, 6, max_side)
    longest = max(3, 2 * min(height, width) // 5)
    things: list[Thing] = []
    for _ in range(roll(dice, 2, 4)):
        kind = kinds[roll(dice, 0, len(kinds) - 1)]
        form = things[-1].patch > 0 if kind == "again" and things else _draw_form(dice, kind, longest)
        patch = form * np.uint8(colours[roll(dice, 0, len(colours) - 1)])
        for _ in range(5):
            thing = Thing(patch, roll(dice, 0, height - len(form)), roll(dice, 0, width - form.shape[1]))
            if not any(_touch(thing, other) for other in things):
                things.append(thing)
                break
    return things, (height, width)


def _touch(one: Thing, other: Thing) -> bool:
    """Tell whether the boxes around two things overlap, or lie beside each other without a gap."""
    return (
        one.top <= other.top + len(other.patch)
        and other.top <= one.top + len(one.patch)
        and one.left <= other.left + other.patch.shape[1]
        and other.left <= one.left + one.patch.shape[1]
    )


def _draw_form(dice: Random, kind: str, longest: int) -> np.ndarray:
    """Draw the cells of a thing as a mask without empty rows or columns at its edges."""
    if kind == "cell":
        return np.ones((1, 1), bool)
    if kind == "line":
        length = roll(dice, 2, longest)
        return np.ones((1, length) if dice.random() < 0.5 else (length, 1), bool)
    if kind in ("rectangle", "block", "frame"):
        least = 2 if kind == "rectangle" else 3
        form = np.ones((roll(dice, least, longest), roll(dice, least, longest)), bool)
        if kind == "frame":
            form[1:-1, 1:-1] = False
        return form
    form = _draw_blob(dice, longest)
    return form | form[:, ::-1] if kind == "symmetric" else form


def _draw_blob(dice: Random, longest: int) -> np.ndarray:
    """Draw cells that a walk of single steps visits, in a box of at most `longest` x `longest`."""
    height, width = roll(dice, 2, longest), roll(dice, 2, longest)
    row, column = roll(dice, 0, height - 1), roll(dice, 0, width - 1)
    cells = {(row, column)}
    for _ in range(height * width // 2 + 1):
        step = (-1, 1)[dice.random() < 0.5]
        if dice.random() < 0.5:
            row = min(max(row + step, 0), height - 1)
        else:
            column = min(max(column + step, 0), width - 1)
        cells.add((row, column))
    rows, columns = zip(*cells, strict=True)
    top, left = min(rows), min(columns)
    form = np.zeros((max(rows) - top + 1, max(columns) - left + 1), bool)
    for row, column in cells:
        form[row - top, column - left] = True
    return form
