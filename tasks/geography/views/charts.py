"""Draw what views find: errors of maps, principal components, matrices of likeness."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geo.continents import CONTINENTS
from geo.maps.base import INK
from geo.maps.decoded import COLOURS, OTHER
from tasks.geography.charts import DOT, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = {"answers": (DOT, "-"), "probe": (ORANGE, "-"), "shuffled": (OTHER, ":"), "rounded": (OTHER, "--")}
_TEXTS = {
    "answers": "map from answers",
    "probe": "linear probe of hidden states",
    "shuffled": "answers shuffled (control)",
    "rounded": "true distances, rounded (floor)",
}


def errors_figure(error_km: Mapping[str, np.ndarray]) -> "Figure":
    """Draw which share of cities lies within so many km of its place, by source; NaN is a city without a place.

    Args:
        error_km: For the sources `answers`, `probe`, `shuffled` and `rounded`, (n,) each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, (colour, line) in _STYLES.items():
        placed_km = np.sort(error_km[name][~np.isnan(error_km[name])])
        if len(placed_km):
            share = np.arange(1, len(placed_km) + 1) / len(error_km[name])
            label = f"{_TEXTS[name]}: median {np.median(placed_km):,.3g} km"
            axes.plot(np.maximum(placed_km, 0.01), share, line, color=colour, label=label, lw=1.4)
    axes.set(xlabel="error of the place (km)", ylabel="share of cities", xscale="log", xlim=(0.01, 20_015), ylim=(0, 1))
    axes.set_title(f"{len(error_km['answers']):,} cities", fontsize=9, loc="left", color=INK)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def components_figure(
    scores_N3: np.ndarray, continents: Sequence[str], variance_3: Sequence[float], title: str
) -> "Figure":
    """Draw the three first principal components against each other, in the colours of the continents.

    Args:
        variance_3: The share of the variance that each explains.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), dpi=120, layout="constrained")
    names = np.asarray(continents)
    for axes, (x, y) in zip(figure.subplots(1, 3), ((0, 1), (0, 2), (1, 2)), strict=True):
        for name, colour in [*zip(CONTINENTS, COLOURS, strict=True), ("unknown", OTHER)]:
            if (chosen := names == name).any():
                axes.scatter(*scores_N3[chosen][:, [x, y]].T, s=4, color=colour, linewidths=0, alpha=0.7, label=name)
        labels = [f"component {at + 1} ({variance_3[at]:.0%} of the variance)" for at in (x, y)]
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.set_aspect("equal", "datalim")
    figure.axes[0].legend(frameon=False, fontsize=7, markerscale=2.5)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left", color=INK)
    return figure


def matrix_figure(matrices: Mapping[str, np.ndarray], names: Sequence[str]) -> "Figure":
    """Draw matrices of likeness, 0 to 1, side by side; what they are called stands above them."""
    from matplotlib.figure import Figure

    side = 2.2 + 0.55 * len(names)
    figure = Figure(figsize=(side * len(matrices), side), dpi=120, layout="constrained")
    for axes, (title, value_RR) in zip(np.atleast_1d(figure.subplots(1, len(matrices))), matrices.items(), strict=True):
        axes.imshow(value_RR, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        for (row, column), value in np.ndenumerate(value_RR):
            colour = "white" if value > 0.6 else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_title(title, fontsize=9, loc="left", color=INK)
    return figure
