"""Draw how far cities are moved by edits at every block."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.maps.base import GREY, INK
from tasks.geography.charts import DOT, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = {
    "swap": ("state of the city at the target", GREY, "s"),
    "encoder": ("encoder direction", ORANGE, "o"),
    "probe": ("decoder direction (probe)", DOT, "^"),
    "random": ("random direction", INK, "x"),
}


def draw_blocks(rows: Sequence[Mapping[str, Any]], heading: str) -> "Figure":
    """Draw how much of the way cities have made, by block and edit, for both cities of a prompt.

    Args:
        rows: Of the table `blocks`, one token of each city: `city`, `block`, `token`, `edit`, `n`, `arrived`,
            `arrived_from`, `arrived_to`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    figure.suptitle(f"{heading}: how far a city is moved by editing one token at one block", fontsize=10, color=INK)
    for axes, city in zip(figure.subplots(1, 2, sharey=True), ("first", "second"), strict=True):
        of_city = [row for row in rows if row["city"] == city]
        axes.axhline(0.8, color=GREY, lw=0.8, ls="--")
        for edit, (label, colour, marker) in _STYLES.items():
            mine = [row for row in of_city if row["edit"] == edit]
            middle, low, high = (np.array([row[f"arrived{end}"] for row in mine]) for end in ("", "_from", "_to"))
            ends = [middle - low, high - middle]
            blocks = [row["block"] for row in mine]
            axes.errorbar(blocks, middle, ends, label=label, color=colour, marker=marker, ms=5, lw=1.2, capsize=2)
        axes.set(xlabel="block", ylim=(-0.3, 1.1))
        title = f"{city} city of the prompt, token `{of_city[0]['token']}`, {of_city[0]['n']} cities"
        axes.set_title(title, fontsize=9, loc="left", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("part of the way to the target (median)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=4)
    return figure
