"""Charts that are no maps: predicted against true distances."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from geo import InputError
from geo.base_map import GREY, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOT = "#1f4e79"


def predicted_against_true(true_km: ArrayLike, predicted_km: ArrayLike, title: str | None = None) -> "Figure":
    """Predicted distances over true ones, with the diagonal on which they would be equal.

    Args:
        true_km: True distances in km, shape (n,).
        predicted_km: Predicted distances, shape (n,); NaN where an answer could not be parsed.
        title: Text above the chart, if any.

    Returns:
        The figure; the caption has mean and median of the absolute error of the parsed answers, and how many were not.

    Raises:
        InputError: The lengths differ.
    """
    from matplotlib.figure import Figure

    true, predicted = np.asarray(true_km, dtype=np.float64), np.asarray(predicted_km, dtype=np.float64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise InputError(f"got {true.shape} true and {predicted.shape} predicted distances; give equally many")
    figure = Figure(figsize=(6, 6), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 20_015], [0, 20_015], color=GREY, lw=0.8, zorder=1)
    size = float(np.clip(4000 / max(len(true), 1), 2, 20))
    axes.scatter(true, predicted, s=size, color=DOT, linewidths=0, alpha=0.5, zorder=2)
    axes.set(xlabel="true distance (km)", ylabel="predicted distance (km)", xlim=(0, 20_100), ylim=(0, 20_100))
    axes.set_aspect("equal")
    axes.grid(alpha=0.25)
    heading = [] if title is None else [title]
    axes.set_title("\n".join([*heading, _caption(np.abs(true - predicted))]), fontsize=9, loc="left", color=INK)
    return figure


def _caption(error_km: np.ndarray) -> str:
    parsed_km = error_km[~np.isnan(error_km)]
    parts = [f"{len(error_km):,} pairs"]
    if len(parsed_km):
        parts.append(f"error: mean {parsed_km.mean():,.0f} km, median {np.median(parsed_km):,.0f} km")
    if len(parsed_km) < len(error_km):
        parts.append(f"{len(error_km) - len(parsed_km):,} not parsed (left out)")
    return " · ".join(parts)
