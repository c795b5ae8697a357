"""Draw the sweep: heat maps over blocks and tokens, and the error on continents that a fit has not seen."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.maps.base import GREY, INK
from tasks.geography.charts import DOT, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = {
    "trained_report_km": "trained: mean error (km)",
    "trained_report_r2": "trained: R²",
    "shuffled_report_r2": "shuffled places: R²",
    "untrained_report_r2": "untrained: R²",
}


def heat_maps(
    table: Sequence[Mapping[str, Any]], tokens: Sequence[str], chosen: tuple[int, int], where: str, n_report: int
) -> "Figure":
    """Draw error and R² at every block (upwards) and token, of the model and of its controls; the chosen one framed.

    Args:
        table: A row for each block and token.
        chosen: Number of the block and of the token.
        where: The same in words.
        n_report: Cities that are reported.
    """
    from matplotlib.figure import Figure

    panels = {name: title for name, title in _PANELS.items() if name in table[0]}
    figure = Figure(figsize=(11, 8.5), dpi=120, layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, panels.items(), strict=False):
        values_LT = np.array([row[name] for row in table]).reshape(-1, len(tokens))
        _draw_cells(axes, values_LT, tokens, is_km=name.endswith("_km"))
        axes.set_title(title, fontsize=10, loc="left", color=INK)
        if name.startswith("trained"):
            axes.plot(chosen[1], chosen[0], "s", ms=30, mfc="none", mec=ORANGE, mew=2)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.suptitle(f"Places read linearly, {n_report:,} cities; chosen on others: {where}", fontsize=11, color=INK)
    return figure


def _draw_cells(axes: "Axes", values_LT: np.ndarray, tokens: Sequence[str], is_km: bool) -> None:
    """Draw numbers as colours, and write them too."""
    from matplotlib.colors import LogNorm

    if is_km:
        least = max(float(values_LT.min()), 1.0)  # a logarithm needs one
        most = max(float(values_LT.max()), least * 1.001)
        style: dict[str, Any] = {"cmap": "viridis_r", "norm": LogNorm(least, most)}
    else:
        style = {"cmap": "viridis", "vmin": 0, "vmax": 1}
    image = axes.imshow(values_LT, origin="lower", aspect="auto", **style)
    shares_LT = np.asarray(image.norm(values_LT))
    for (block, token), value in np.ndenumerate(values_LT):
        share = shares_LT[block, token]
        dark = share < 0.4 if is_km else share > 0.6
        text = f"{value:,.0f}" if is_km else f"{value:.2f}".replace("-0.00", "0.00")
        axes.text(token, block, text, ha="center", va="center", fontsize=8, color=INK if dark else "white")
    axes.set(xlabel="token", ylabel="block (0: embedding)", yticks=range(len(values_LT)))
    axes.set_xticks(range(len(tokens)), tokens)


def continents_figure(continents: Sequence[Mapping[str, Any]], where: str) -> "Figure":
    """Draw for each continent the error of a fit that saw its other cities, and of one that saw none of it."""
    from matplotlib.figure import Figure

    rows = [row for row in continents if row["seen_km"] is not None]
    figure = Figure(figsize=(7, 0.6 * len(rows) + 1.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for kind, label, colour, shift in (("seen", "seen", DOT, -0.15), ("held_out", "held out", ORANGE, 0.15)):
        means = np.array([row[f"{kind}_km"] for row in rows], dtype=float)
        ends = np.array([[row[f"{kind}_km_from"], row[f"{kind}_km_to"]] for row in rows], dtype=float).reshape(-1, 2)
        ends = np.where(np.isnan(ends), means[:, None], ends)
        off = np.abs(ends - means[:, None]).T
        axes.errorbar(means, np.arange(len(rows)) + shift, xerr=off, fmt="o", ms=4, color=colour, label=label)
    axes.set_yticks(range(len(rows)), [f"{row['continent']} (n = {row['n']})" for row in rows])
    axes.set(xlabel="mean error (km), 95 % over cities", xlim=(0, None))
    axes.grid(alpha=0.25, color=GREY)
    axes.legend(frameon=False)
    axes.set_title(f"Continents held out of the fit: {where}", fontsize=10, loc="left", color=INK)
    return figure
