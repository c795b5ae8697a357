"""Walks over cities on the map: each in its colour, illegal steps in red."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geo.maps.base import GREY, world_map
from geo.maps.predictions import great_circle_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ILLEGAL = "#c53030"
START = "#2b2b2b"


def walk_map(
    walks_deg: Sequence[NDArray[np.float64]], legal: Sequence[NDArray[np.bool_]], title: str | None = None
) -> "Figure":
    """A map of walks.

    Args:
        walks_deg: For every walk latitude and longitude of its cities in degrees, shape (cities, 2); NaN is a city that
            does not exist. An empty array is a walk that could not be read.
        legal: For every walk whether each step is legal, shape (cities - 1,). Illegal steps are red lines.
        title: Text above the map, if any.

    Returns:
        The figure; its caption counts walks, steps and illegal steps.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    figure, axes = world_map(title)
    tab20 = colormaps["tab20"].colors  # pyright: ignore[reportAttributeAccessIssue]
    colours = [*tab20[:6], *tab20[8:]]  # without the reds
    for number, (places_deg, is_legal) in enumerate(zip(walks_deg, legal, strict=True)):
        if len(places_deg) == 0:
            continue
        colour = colours[number % len(colours)]
        for kind, style in ((False, (ILLEGAL, 0.5, 2)), (True, (colour, 1.4, 3))):
            chosen = (is_legal == kind) & ~np.isnan(places_deg[:-1, 0]) & ~np.isnan(places_deg[1:, 0])
            lines = great_circle_lines(*places_deg[:-1][chosen].T, *places_deg[1:][chosen].T) if chosen.any() else []
            drawn = LineCollection(
                [np.radians(line) for line in lines], colors=style[0], linewidths=style[1], zorder=style[2]
            )
            axes.add_collection(drawn, autolim=False)
        known_rad = np.radians(places_deg[~np.isnan(places_deg[:, 0])])
        axes.scatter(known_rad[:, 1], known_rad[:, 0], s=5, color=colour, linewidths=0, zorder=4)
        axes.scatter(known_rad[:1, 1], known_rad[:1, 0], s=12, color=START, linewidths=0, zorder=5)
    figure.text(0.02, 0.915, _caption(walks_deg, legal), fontsize=9, color=GREY)
    return figure


def _caption(walks_deg: Sequence[NDArray[np.float64]], legal: Sequence[NDArray[np.bool_]]) -> str:
    steps, illegal = sum(len(found) for found in legal), sum(int((~found).sum()) for found in legal)
    failed = sum(len(walk) == 0 for walk in walks_deg)
    parts = [f"walks: {len(walks_deg):,} (black: start)", f"steps: {steps:,}, of which illegal (red): {illegal:,}"]
    return " · ".join([*parts, *([f"not read: {failed:,}"] if failed else [])])
