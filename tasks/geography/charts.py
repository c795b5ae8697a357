"""Draw predicted against true distances, and probes over training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from geo import InputError
from geo.maps.base import GREY, INK, error_caption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOT, ORANGE = "#1f4e79", "#d97706"


def predicted_against_true(true_km: ArrayLike, predicted_km: ArrayLike, title: str | None = None) -> "Figure":
    """Draw predicted distances over true ones, with the diagonal on which they would be equal.

    The caption has mean and median of the absolute error of the parsed answers, and the number of the others.

    Args:
        true_km: True distances in km, shape (n,).
        predicted_km: Predicted distances, shape (n,); NaN where an answer could not be parsed.
        title: Text above the chart, if any.

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
    caption = error_caption(np.abs(true - predicted), "pair", "pairs")
    axes.set_title(f"{title}\n{caption}" if title else caption, fontsize=9, loc="left", color=INK)
    return figure


def probe_curves(
    steps: Sequence[int], metrics: Sequence[Mapping[str, float]], baseline_km: Sequence[float]
) -> "Figure":
    """Draw a probe over training: R² of both axes on the left, errors in km with the trivial baseline on the right.

    Args:
        steps: Training steps, ascending, shape (n,).
        metrics: At every step `r2_lon`, `r2_lat`, `error_km_mean` and `error_km_median`.
        baseline_km: At every step the mean error of the trivial baseline.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, label, colour in (("r2_lon", "longitude", DOT), ("r2_lat", "latitude", ORANGE)):
        left.plot(steps, [max(m[name], -1.0) for m in metrics], "o-", ms=3.5, lw=1.2, color=colour, label=label)
    left.axhline(0.0, color=GREY, ls="--", lw=0.8, label="chance, about")
    lowest = min(min(m["r2_lon"], m["r2_lat"]) for m in metrics)
    left.set(
        xlabel="step", ylabel="R² on cities the probe has not seen", ylim=(max(min(lowest, -0.2), -1.0) - 0.02, 1.02)
    )
    for name, label, colour in (("error_km_mean", "mean", DOT), ("error_km_median", "median", ORANGE)):
        right.plot(steps, [m[name] for m in metrics], "o-", ms=3.5, lw=1.2, color=colour, label=label)
    right.plot(steps, baseline_km, ":", color=GREY, label="mean of the trivial baseline")
    right.set(xlabel="step", ylabel="error of the decoded place (km)", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure
