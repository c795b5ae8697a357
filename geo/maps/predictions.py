"""Map cities, and the places that a model predicts for them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo import InputError
from geo.maps.base import GREY, error_caption, world_map
from geo.sphere import great_circle_km, unit_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

MIN_LINE_KM = 300.0  # shorter lines from a true to a predicted place would hide under their dots
ERROR_RANGE_KM = (1.0, 20_000.0)  # of the colours; 20,000 km is half the circumference

CITY, TRUE_PLACE = "#1f4e79", "#8c9196"
ERROR_COLOURS = ("#08706b", "#3a9d74", "#e9b44c", "#e0562b", "#8f1020")  # calm when near, alarming when far


def city_map(lat_deg: ArrayLike, lon_deg: ArrayLike, title: str | None = None) -> "Figure":
    """Draw a dot for each place.

    Args:
        lat_deg: Latitudes in degrees, -90…90, shape (n,); NaN is not drawn.
        lon_deg: Longitudes in degrees, -180…180, shape (n,).
        title: Text above the map, if any.

    Raises:
        InputError: A coordinate is out of range, or the lengths differ.
    """
    lat, lon = _places(lat_deg, lon_deg)
    figure, axes = world_map(title)
    places_rad = np.radians(lon), np.radians(lat)
    axes.scatter(*places_rad, s=_dot_size(len(lat)), color=CITY, linewidths=0, alpha=0.75, zorder=3)
    return figure


def prediction_map(
    true_lat_deg: ArrayLike,
    true_lon_deg: ArrayLike,
    pred_lat_deg: ArrayLike,
    pred_lon_deg: ArrayLike,
    title: str | None = None,
) -> "Figure":
    """Draw true places in grey and predicted ones coloured by their error.

    A thin line along the great circle joins the two where the error is 300 km or more. The caption has the
    mean and the median of the error of the parsed answers, and the number of the others.

    Args:
        true_lat_deg, true_lon_deg: True places in degrees, shape (n,).
        pred_lat_deg, pred_lon_deg: Predicted places, shape (n,); NaN where an answer could not be parsed.
        title: Text above the map, if any.

    Raises:
        InputError: A coordinate is out of range, or the lengths differ.
    """
    places_deg = np.stack(_places(true_lat_deg, true_lon_deg, pred_lat_deg, pred_lon_deg))
    error_km = great_circle_km(*places_deg)
    figure, axes = world_map(title, error_caption(error_km, "city", "cities"))
    true_lat_rad, true_lon_rad = np.radians(places_deg[:2])
    size = _dot_size(len(error_km))
    axes.scatter(true_lon_rad, true_lat_rad, s=0.6 * size, color=TRUE_PLACE, linewidths=0, zorder=2)
    is_parsed = ~np.isnan(error_km)
    if is_parsed.any():
        # The largest errors are drawn last, so that they lie on top.
        order = np.argsort(error_km)[: is_parsed.sum()]
        _draw_lines(axes, places_deg[:, error_km >= MIN_LINE_KM])
        _draw_legend(figure, _draw_predictions(axes, places_deg[2:, order], error_km[order], size))
    return figure


def great_circle_lines(
    lat1_deg: ArrayLike, lon1_deg: ArrayLike, lat2_deg: ArrayLike, lon2_deg: ArrayLike
) -> list[NDArray[np.float64]]:
    """Return shortest ways along the surface, as lines to draw on a map that ends at the date line.

    Args:
        lat1_deg, lon1_deg: The n starts, in degrees, shape (n,).
        lat2_deg, lon2_deg: The ends.

    Returns:
        Lines of shape (k, 2), longitude and latitude in degrees; a way over the date line makes two.
    """
    start = unit_vectors(lat1_deg, lon1_deg)[:, None]
    # The nudge of some millimetres gives a direction to a way between antipodes, where any is as short.
    end = unit_vectors(lat2_deg, lon2_deg)[:, None] + (1e-9, 2e-9, 3e-9)
    cosine = np.sum(start * end, axis=-1, keepdims=True)
    sideways = end - cosine * start
    sine = np.linalg.norm(sideways, axis=-1, keepdims=True)
    angle_rad = np.arctan2(sine, cosine) * np.linspace(0, 1, 64)[:, None]
    way = np.cos(angle_rad) * start + np.sin(angle_rad) * sideways / sine
    lat_deg = np.degrees(np.arcsin(np.clip(way[..., 2], -1, 1)))
    lon_deg = np.degrees(np.arctan2(way[..., 1], way[..., 0]))
    crosses = np.abs(np.diff(lon_deg, axis=1)) > 180
    ways = zip(np.stack([lon_deg, lat_deg], axis=-1), crosses, strict=True)
    return [line for points, cut in ways for line in np.split(points, np.flatnonzero(cut) + 1)]


def _draw_predictions(
    axes: "Axes", pred_deg: NDArray[np.float64], error_km: NDArray[np.float64], size: float
) -> "PathCollection":
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    pred_lat_rad, pred_lon_rad = np.radians(pred_deg)
    return axes.scatter(
        pred_lon_rad,
        pred_lat_rad,
        s=size,
        c=np.clip(error_km, *ERROR_RANGE_KM),
        cmap=LinearSegmentedColormap.from_list("error", ERROR_COLOURS),
        norm=LogNorm(*ERROR_RANGE_KM),
        linewidths=0,
        zorder=3,
    )


def _draw_lines(axes: "Axes", places_deg: NDArray[np.float64]) -> None:
    """Draw thin lines from true to predicted places; the rows of places_deg are lat, lon, lat, lon."""
    from matplotlib.collections import LineCollection

    if places_deg.shape[1] == 0:
        return
    lines_deg = great_circle_lines(*places_deg)
    # Projected here, because matplotlib would first cut each of their pieces into 75: 8 s for 5,000 lines.
    on_page = axes.transData.transform(np.radians(np.concatenate(lines_deg)))
    ends = np.cumsum([len(line) for line in lines_deg])
    lines = np.split(axes.transAxes.inverted().transform(on_page), ends[:-1])
    alpha = float(np.clip(60 / len(lines), 0.06, 0.5))  # thousands of lines must not hide the dots
    collection = LineCollection(lines, transform=axes.transAxes, colors=GREY, linewidths=0.4, alpha=alpha, zorder=2.5)
    axes.add_collection(collection, autolim=False)


def _draw_legend(figure: "Figure", dots: "PathCollection") -> None:
    """Explain, bottom left, the grey dots and the colours of the errors."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    small = {"fontsize": 7, "va": "center_baseline"}
    figure.text(0.02, 0.05, "●", color=TRUE_PLACE, **small)
    figure.text(0.032, 0.05, "true      predicted, km off", color=GREY, **small)
    bar = figure.colorbar(dots, cax=figure.add_axes((0.165, 0.044, 0.2, 0.012)), orientation="horizontal")
    least = ERROR_RANGE_KM[0]  # the colour of all smaller errors, too
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda km, _: f"{'≤ ' if km <= least else ''}{km:,.0f}"))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=7, labelcolor=GREY, length=0, pad=2)
    bar.outline.set_visible(False)


def _places(*coordinates_deg: ArrayLike) -> list[NDArray[np.float64]]:
    """Return latitudes and longitudes in turn, as arrays of one length, after checking them; NaN passes."""
    places = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in coordinates_deg]
    if len({values.shape for values in places}) > 1 or places[0].ndim != 1:
        shapes = ", ".join(str(values.shape) for values in places)
        raise InputError(f"got coordinates of shapes {shapes}; give equally many latitudes and longitudes")
    for position, values in enumerate(places):
        what, limit_deg = ("longitude", 180) if position % 2 else ("latitude", 90)
        bad = values[np.abs(values) > limit_deg]
        if bad.size:
            raise InputError(f"{what} {bad[0]:g} is not in -{limit_deg}..{limit_deg}; give it in degrees")
    return places


def _dot_size(n: int) -> float:
    """Return the area of a dot, in square points: smaller the more there are."""
    return float(np.clip(8000 / max(n, 1), 4, 28))
