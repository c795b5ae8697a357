"""Rules put together of three parts, named by them: `paint_red-largest-to_left`.

The parts are what is done (`transforms.CHANGES`), to which things (`selections.SELECTIONS`), and where these go
(`transforms.MOVES`, `transforms.CROPS`). A rule is its own solver; grids are drawn until every part of it can be seen.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np

from tasks.arc.generators.concept import Grid, Pair
from tasks.arc.generators.selections import COLOURS, SELECTIONS
from tasks.arc.generators.things import KINDS, Shape, Thing, draw_things, find_things, paint, roll
from tasks.arc.generators.transforms import CHANGES, CROPS, MOVES

_TURNS = {"mirror_lr", "mirror_ud", "turn_half", "turn_left", "turn_right"}
_MIRRORED_CROPS = {"crop_mirrored_beside", "crop_mirrored_below"}
_COPIES = {"copy_lr", "copy_ud"}
_DENSE = {"hollow", "fill"}
_WITHOUT: dict[str, set[str]] = {
    "all": {"alone", "gone", "outline", *_DENSE, *_COPIES, *CROPS},
    "cell": {*_TURNS, *_DENSE, "box", *_MIRRORED_CROPS},
    "cells": {"outline", *_DENSE, *_COPIES},
    "full": {*_TURNS - {"turn_left"}, "fill", "box", *_MIRRORED_CROPS},
    "symmetric": {"mirror_lr", "mirror_ud", "turn_half", "outline", *_MIRRORED_CROPS},
    "asymmetric": _DENSE,
    "holed": {*_TURNS, "hollow", *_MIRRORED_CROPS},
    "solid": {"outline", *_DENSE, *_COPIES},
    "smallest": _DENSE,
    "tall": _DENSE,
    "wide": _DENSE,
    "at_border": {"outline"},
    "only_colour": _DENSE,
    "only_form": _DENSE,
    "shared_colour": {"outline", *_DENSE, *_COPIES, *CROPS},
    "shared_form": {"outline", *_DENSE, *_COPIES, *CROPS},
    **{name: {f"paint_{name}"} for name in COLOURS},
}
"""Selection -> parts that do nothing to such things, or the same as another part, or that are very rarely seen."""

_LIKED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_TURNS, ("blob",)),
    "fill": ("frame",),
    "hollow": ("block",),
    "box": ("blob", "frame"),
    "cell": ("cell",),
    "holed": ("frame",),
    "symmetric": ("symmetric",),
    "full": ("rectangle", "line"),
    "only_form": ("again",),
    "shared_form": ("again",),
}
"""Part -> forms that are drawn more often, since it needs them."""


@dataclass(frozen=True)
class Rule:
    """One rule by the names of its parts."""

    change: str
    selection: str
    place: str

    @property
    def name(self) -> str:
        """The parts' names."""
        return f"{self.change}-{self.selection}-{self.place}"

    def solve(self, grid: Grid) -> Grid:
        """Return the output; a grid without a thing that the rule is about stays as it is."""
        chosen, others = self._divide(find_things(grid), (grid.shape[0], grid.shape[1]))
        changed = [CHANGES[self.change](thing) for thing in chosen]
        return self._finish(changed, others, (grid.shape[0], grid.shape[1])) if chosen else grid.copy()

    def generate(self, rng: np.random.Generator, max_side: int) -> Pair:
        """Draw a pair in which every part of the rule can be seen.

        Raises:
            RuntimeError: there seems to be none.
        """
        dice = Random(int(rng.integers(2**63)))  # many small draws: numpy's take five times as long
        kinds, (asked, others) = self._kinds(), self._colours()
        for _ in range(20_000):
            palette = [*asked, *(others[roll(dice, 0, len(others) - 1)] for _ in range(roll(dice, 1, 3 - len(asked))))]
            things, shape = draw_things(dice, max_side, palette, kinds)
            if pair := self._pair(things, shape, max_side):
                return pair
        raise RuntimeError(f"no pair of {self.name} was found with sides up to {max_side}")

    def _kinds(self) -> Sequence[str]:
        liked = (*_LIKED.get(self.change, ()), *_LIKED.get(self.selection, ()))
        return [*KINDS, *liked * 6] if self.selection != "all" or not liked else [*liked, "again"]

    def _colours(self) -> tuple[list[int], list[int]]:
        """Return the colour that things are chosen by, if one is, and the others without the one that is painted."""
        asked = [COLOURS[self.selection]] if self.selection in COLOURS else []
        painted = COLOURS.get(self.change.removeprefix("paint_"), 0)
        return asked, [colour for colour in range(1, 10) if colour not in (*asked, painted)]

    def _divide(self, things: list[Thing], shape: Shape) -> tuple[list[Thing], list[Thing]]:
        """Return the things that are chosen, and the others."""
        is_chosen = SELECTIONS[self.selection](things, shape)
        chosen = [thing for thing, chosen in zip(things, is_chosen, strict=True) if chosen]
        return chosen, [thing for thing, chosen in zip(things, is_chosen, strict=True) if not chosen]

    def _finish(self, changed: list[Thing], others: list[Thing], shape: Shape) -> Grid:
        if self.place in CROPS:
            return CROPS[self.place](changed[0].patch)
        return paint(self._on_canvas(changed, others, shape), shape)

    def _on_canvas(self, changed: list[Thing], others: list[Thing], shape: Shape) -> list[Thing]:
        moved = [part for thing in changed for part in MOVES[self.place](thing, shape)]
        return moved if self.place == "alone" else [*moved, *others]

    def _pair(self, things: list[Thing], shape: Shape, max_side: int) -> Pair | None:
        """Return the pair of a grid with these things, or None where a part of the rule cannot be seen."""
        chosen, others = self._divide(things, shape)
        if not chosen or (not others and self.selection != "all") or (len(chosen) > 1 and self.place in CROPS):
            return None
        changed = [CHANGES[self.change](thing) for thing in chosen]
        if self.change != "keep" and all(map(_is_same, chosen, changed)):
            return None
        is_crop = self.place in CROPS
        after = self._finish(changed, others, shape) if is_crop else self._move(chosen, changed, others, shape)
        if after is None or max(after.shape) > max_side:
            return None
        before = paint(things, shape)
        return None if np.array_equal(before, after) else (before, after)

    def _move(self, chosen: list[Thing], changed: list[Thing], others: list[Thing], shape: Shape) -> Grid | None:
        """Return the output, or None unless a thing moves, all come out as others, and nothing is hidden or cut off."""
        if self.place not in ("gone", "alone"):
            moved = [MOVES[self.place](thing, shape)[-1] for thing in changed]
            if any(map(_is_same, chosen, moved)) or (self.place != "stay" and all(map(_is_same, changed, moved))):
                return None
        parts = self._on_canvas(changed, others, shape)
        after = paint(parts, shape)
        return after if np.count_nonzero(after) == sum(np.count_nonzero(part.patch) for part in parts) else None


def _is_same(one: Thing, other: Thing) -> bool:
    return one.top == other.top and one.left == other.left and np.array_equal(one.patch, other.patch)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return every rule, in an order that is always the same and mixes the parts."""
    rules = [
        Rule(change, selection, place)
        for selection in SELECTIONS
        for change in CHANGES
        for place in (*MOVES, *CROPS)
        if _is_rule(change, selection, place)
    ]
    return tuple(sorted(rules, key=lambda rule: zlib.crc32(rule.name.encode())))


def _is_rule(change: str, selection: str, place: str) -> bool:
    if {change, place} & _WITHOUT.get(selection, set()):
        return False
    if (change in {"box", *_DENSE} and place in _MIRRORED_CROPS) or (change == "outline" and place in _COPIES):
        return False  # what comes out is its own mirror image; there is no room for two
    return place != "stay" if change == "keep" else place != "gone"
