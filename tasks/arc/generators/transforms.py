"""Second and third part of a rule: what becomes of a chosen thing, and where it goes.

A change makes another thing of it, a move puts it elsewhere or draws from it, a crop makes an output of nothing but it.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from tasks.arc.generators.concept import Grid
from tasks.arc.generators.selections import COLOURS, holes
from tasks.arc.generators.things import Shape, Thing

Change = Callable[[Thing], Thing]
Move = Callable[[Thing, Shape], list[Thing]]
"""It returns what is painted: nothing, the thing, or the thing and a copy."""

_FILLING, _OUTLINE = 4, 8  # yellow and azure


def _changed(patch_to_patch: Callable[[Grid], Grid]) -> Change:
    return lambda thing: thing._replace(patch=patch_to_patch(thing.patch))


def _recolour(colour: int) -> Change:
    return _changed(lambda patch: np.where(patch, colour, 0).astype(np.uint8))


def _hollow(patch: Grid) -> Grid:
    """Remove the cells whose four neighbours belong to the thing, too."""
    own = patch > 0
    hollow = patch.copy()
    hollow[1:-1, 1:-1][own[1:-1, 1:-1] & own[:-2, 1:-1] & own[2:, 1:-1] & own[1:-1, :-2] & own[1:-1, 2:]] = 0
    return hollow


def _outline(thing: Thing) -> Thing:
    height, width = thing.patch.shape
    outlined = np.zeros((height + 2, width + 2), dtype=np.uint8)
    for down, right in product(range(3), range(3)):
        outlined[down : down + height, right : right + width][thing.patch > 0] = _OUTLINE
    np.copyto(outlined[1:-1, 1:-1], thing.patch, where=thing.patch > 0)
    return Thing(outlined, thing.top - 1, thing.left - 1)


CHANGES: dict[str, Change] = {
    "keep": lambda thing: thing,
    **{f"paint_{name}": _recolour(colour) for name, colour in COLOURS.items()},
    "mirror_lr": _changed(lambda patch: patch[:, ::-1]),
    "mirror_ud": _changed(lambda patch: patch[::-1]),
    "turn_half": _changed(lambda patch: patch[::-1, ::-1]),
    "turn_left": _changed(lambda patch: patch.T[::-1]),
    "turn_right": _changed(lambda patch: patch[::-1].T),
    "fill": _changed(lambda patch: np.where(holes(patch), _FILLING, patch).astype(np.uint8)),
    "hollow": _changed(_hollow),
    "box": _changed(lambda patch: np.full_like(patch, patch.max())),
    "outline": _outline,
}


def _opposite_lr(thing: Thing, shape: Shape) -> Thing:
    return thing._replace(left=shape[1] - thing.left - thing.patch.shape[1])


def _opposite_ud(thing: Thing, shape: Shape) -> Thing:
    return thing._replace(top=shape[0] - thing.top - thing.patch.shape[0])


def _line(axis: int, is_back: bool) -> Move:
    """Draw from every cell of a thing to the border: along an axis, back (up, left) or forward (down, right)."""

    def move(thing: Thing, shape: Shape) -> list[Thing]:
        patch, start = (thing.patch, thing.top) if axis == 0 else (thing.patch.T, thing.left)
        room = max(start if is_back else shape[axis] - start - len(patch), 0)
        line = np.zeros((len(patch) + room, patch.shape[1]), dtype=np.uint8)
        if is_back:
            line[room:] = patch
            line = np.maximum.accumulate(line[::-1])[::-1]
            start -= room
        else:
            line[: len(patch)] = patch
            line = np.maximum.accumulate(line)
        return [Thing(line, start, thing.left) if axis == 0 else Thing(line.T, thing.top, start)]

    return move


MOVES: dict[str, Move] = {
    "stay": lambda thing, shape: [thing],
    "gone": lambda thing, shape: [],
    "alone": lambda thing, shape: [thing],
    "to_top": lambda thing, shape: [thing._replace(top=0)],
    "to_bottom": lambda thing, shape: [thing._replace(top=shape[0] - thing.patch.shape[0])],
    "to_left": lambda thing, shape: [thing._replace(left=0)],
    "to_right": lambda thing, shape: [thing._replace(left=shape[1] - thing.patch.shape[1])],
    "opposite_lr": lambda thing, shape: [_opposite_lr(thing, shape)],
    "opposite_ud": lambda thing, shape: [_opposite_ud(thing, shape)],
    "copy_lr": lambda thing, shape: [thing, _opposite_lr(thing, shape)],
    "copy_ud": lambda thing, shape: [thing, _opposite_ud(thing, shape)],
    "line_up": _line(0, is_back=True),
    "line_down": _line(0, is_back=False),
    "line_left": _line(1, is_back=True),
    "line_right": _line(1, is_back=False),
}

CROPS: dict[str, Callable[[Grid], Grid]] = {
    "crop": lambda patch: patch,
    "crop_twice_beside": lambda patch: np.hstack([patch, patch]),
    "crop_twice_below": lambda patch: np.vstack([patch, patch]),
    "crop_mirrored_beside": lambda patch: np.hstack([patch, np.fliplr(patch)]),
    "crop_mirrored_below": lambda patch: np.vstack([patch, np.flipud(patch)]),
    "crop_enlarged": lambda patch: patch.repeat(2, axis=0).repeat(2, axis=1),
}
