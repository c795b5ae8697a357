"""Figures of test-time training: the curve over the number of demonstrations; queries before and after, votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tasks.arc.figures import RIGHT, WRONG, draw_grid
from tasks.arc.generators.concept import Grid

_STYLES = {
    "adapted": ("#2b6cb0", "-"),
    "adapted_one_view": ("#2b6cb0", ":"),
    "frozen": ("#718096", "-"),
    "frozen_one_view": ("#718096", ":"),
    "random": ("#b7791f", "--"),
    "shuffled": ("#c53030", "--"),
    "patch": ("#2f855a", "-."),
}


@dataclass(frozen=True)
class Shown:
    """A query: its input, the expected output, what was generated (None: no grid), and each attempt with its votes."""

    title: str
    given: Grid
    expected: Grid
    before: Grid | None
    one_view: Grid | None
    attempts: Sequence[tuple[Grid, int]]


def curve_figure(lines: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Figure:
    """Draw the share of queries that are solved, over the number of demonstrations, with Wilson's intervals."""
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    panels = {"exact_match": "first attempt", "pass_at_2": "two attempts"}
    for axes, (metric, label) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        for method in dict.fromkeys(line["method"] for line in lines):
            of = [line for line in lines if line["method"] == method]
            if metric == "pass_at_2" and method.endswith(("view", "patch")):
                continue  # one attempt is all that there is
            shares, low, high = (np.array([line[f"{metric}{end}"] for line in of]) for end in ("", "_from", "_to"))
            colour, style = _STYLES[method]
            errors = np.maximum([shares - low, high - shares], 0)
            at = [line["demonstrations"] for line in of]
            axes.errorbar(at, shares, errors, color=colour, ls=style, marker="o", ms=4, capsize=2, label=names[method])
        axes.set_xscale("log", base=2)
        axes.set_xticks(at := sorted({line["demonstrations"] for line in lines}), list(map(str, at)))
        axes.set(
            xlabel="demonstrations that a task gives", title=f"{label}, {lines[0]['pairs']} pairs", ylim=(-0.02, 1)
        )
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("share of grids that are exactly right")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def queries_figure(queries: Sequence[Shown]) -> Figure:
    """Draw one line per query: input, expected, frozen, adapted in one view, and the two attempts with their votes."""
    figure = Figure(figsize=(11.5, 1.9 * len(queries) + 0.5), dpi=100, layout="constrained")
    figure.suptitle("test-time training: before, after, votes")
    for line, query in zip(figure.subplots(len(queries), 6, squeeze=False), queries, strict=True):
        for axes in line:
            axes.axis("off")
        draw_grid(line[0], query.given, query.title, "black")
        draw_grid(line[1], query.expected, "expected", "black")
        cells: list[tuple[Grid | None, str]] = [(query.before, "frozen, votes"), (query.one_view, "adapted, one view")]
        cells += [(grid, f"attempt {n}: {votes} views") for n, (grid, votes) in enumerate(query.attempts, 1)]
        for axes, (grid, label) in zip(line[2:], cells, strict=False):
            is_right = np.array_equal(np.zeros(0) if grid is None else grid, query.expected)
            shown = np.zeros((1, 1)) if grid is None else grid
            draw_grid(axes, shown, label if grid is not None else f"{label}: no grid", RIGHT if is_right else WRONG)
    return figure
