"""Map walks over cities, each in its colour, with illegal steps in red."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geo.maps.base import world_map
from geo.maps.predictions import great_circle_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ILLEGAL = "#c53030"
START = "#2b2b2b"


def walk_map(
    walks_deg: Sequence[NDArray[np.float64]], legal: Sequence[NDArray[np.bool_]], title: str | None = None
) -> "Figure":
    """Draw walks; the caption counts walks, steps and illegal steps.

    Args:
        walks_deg: For every walk latitude and longitude of its cities in degrees, shape (cities, 2); NaN is a city that
            does not exist. An empty array is a walk that could not be read.
        legal: For every walk whether each step is legal, shape (cities - 1,). Illegal steps are red lines.
        title: Text above the map, if any.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    figure, axes = world_map(title, _caption(walks_deg, legal))
    tab20 = colormaps["tab20"].colors  # pyright: ignore[reportAttributeAccessIssue]
    colours = [*tab20[:6], *tab20[8:]]  # without the reds
    for number, (places_deg, is_legal) in enumerate(zip(walks_deg, legal, strict=True)):
        if len(places_deg) == 0:
            continue
        colour = colours[number % len(colours)]
        is_known = ~np.isnan(places_deg[:-1, 0]) & ~np.isnan(places_deg[1:, 0])
        for chosen, line_colour, width, order in (~is_legal, ILLEGAL, 0.5, 2), (is_legal, colour, 1.4, 3):
            start_deg, end_deg = places_deg[:-1][chosen & is_known], places_deg[1:][chosen & is_known]
            lines = [np.radians(line) for line in great_circle_lines(*start_deg.T, *end_deg.T)]
            collection = LineCollection(lines, colors=line_colour, linewidths=width, zorder=order)
            axes.add_collection(collection, autolim=False)
        known_rad = np.radians(places_deg[~np.isnan(places_deg[:, 0])])
        axes.scatter(known_rad[:, 1], known_rad[:, 0], s=5, color=colour, linewidths=0, zorder=4)
        axes.scatter(known_rad[:1, 1], known_rad[:1, 0], s=12, color=START, linewidths=0, zorder=5)
    return figure


def _caption(walks_deg: Sequence[NDArray[np.float64]], legal: Sequence[NDArray[np.bool_]]) -> str:
    steps, illegal = sum(map(len, legal)), sum(int((~is_legal).sum()) for is_legal in legal)
    failed = sum(len(walk) == 0 for walk in walks_deg)
    parts = [f"walks: {len(walks_deg):,} (black: start)", f"steps: {steps:,}, of which illegal (red): {illegal:,}"]
    return " · ".join([*parts, *([f"not read: {failed:,}"] if failed else [])])
