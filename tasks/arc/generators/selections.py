"""First part of a rule: which things of a grid it is about.

Each selection is a function of all things and of the grid's shape, and marks those that are chosen.
"""

from collections import Counter
from collections.abc import Callable, Hashable

import numpy as np
from scipy import ndimage

from tasks.arc.generators.concept import Grid
from tasks.arc.generators.things import Shape, Thing

Selection = Callable[[list[Thing], Shape], list[bool]]

COLOURS = {"blue": 1, "red": 2, "green": 3, "yellow": 4, "grey": 5}
"""The colours that rules name."""


def holes(patch: Grid) -> np.ndarray:
    """Mark the cells that a thing encloses."""
    if min(patch.shape) < 3 or patch.all():
        return np.zeros(patch.shape, bool)
    labels, _ = ndimage.label(np.pad(patch, 1) == 0)  # pyright: ignore  # 1 is the outside
    return labels[1:-1, 1:-1] > 1


def _extreme(value: Callable[[Thing], int], choose: Callable[[list[int]], int]) -> Selection:
    def select(things: list[Thing], shape: Shape) -> list[bool]:
        values = [value(thing) for thing in things]
        return [one == choose(values) for one in values]

    return select


def _each(has: Callable[[Thing], bool], wanted: bool = True) -> Selection:
    return lambda things, shape: [has(thing) == wanted for thing in things]


def _alone(key: Callable[[Thing], Hashable], wanted: bool) -> Selection:
    """Choose the things that no other equals in the key, or those that another equals."""

    def select(things: list[Thing], shape: Shape) -> list[bool]:
        keys = [key(thing) for thing in things]
        count = Counter(keys)
        return [(count[one] == 1) == wanted for one in keys]

    return select


def _at_border(wanted: bool) -> Selection:
    def touches(thing: Thing, shape: Shape) -> bool:
        (height, width), (top, left) = thing.patch.shape, thing[1:]
        return top == 0 or left == 0 or top + height == shape[0] or left + width == shape[1]

    return lambda things, shape: [touches(thing, shape) == wanted for thing in things]


def _cells(thing: Thing) -> int:
    return int(np.count_nonzero(thing.patch))


def _colour(thing: Thing) -> int:
    return int(thing.patch.max())


def _of_colour(colour: int) -> Selection:
    return _each(lambda thing: _colour(thing) == colour)


def _form(thing: Thing) -> Hashable:
    return thing.patch.shape, (thing.patch > 0).tobytes()


def _is_symmetric(thing: Thing) -> bool:
    return np.array_equal(thing.patch, thing.patch[:, ::-1])


def _has_holes(thing: Thing) -> bool:
    return bool(holes(thing.patch).any())


SELECTIONS: dict[str, Selection] = {
    "all": lambda things, shape: [True] * len(things),
    "largest": _extreme(_cells, max),
    "smallest": _extreme(_cells, min),
    "tallest": _extreme(lambda thing: thing.patch.shape[0], max),
    "widest": _extreme(lambda thing: thing.patch.shape[1], max),
    "topmost": _extreme(lambda thing: thing.top, min),
    "lowest": _extreme(lambda thing: thing.top + thing.patch.shape[0], max),
    "leftmost": _extreme(lambda thing: thing.left, min),
    "rightmost": _extreme(lambda thing: thing.left + thing.patch.shape[1], max),
    "at_border": _at_border(True),
    "inside": _at_border(False),
    "cell": _each(lambda thing: _cells(thing) == 1),
    "cells": _each(lambda thing: _cells(thing) > 1),
    "symmetric": _each(_is_symmetric),
    "asymmetric": _each(_is_symmetric, False),
    "holed": _each(_has_holes),
    "solid": _each(_has_holes, False),
    "full": _each(lambda thing: bool(thing.patch.all())),
    "tall": _each(lambda thing: thing.patch.shape[0] > thing.patch.shape[1]),
    "wide": _each(lambda thing: thing.patch.shape[0] < thing.patch.shape[1]),
    "square": _each(lambda thing: thing.patch.shape[0] == thing.patch.shape[1]),
    "only_colour": _alone(_colour, True),
    "shared_colour": _alone(_colour, False),
    "only_form": _alone(_form, True),
    "shared_form": _alone(_form, False),
    **{name: _of_colour(colour) for name, colour in COLOURS.items()},
}
