"""Draw tracked runs by a metric over steps: a colour and a label for each group, a band where it has several seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainers.common.figures import label_clipped
from trainers.common.intervals import INTERVAL, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trainers.contract import SummarySpec

Curve = Mapping[int, float]
"""Step -> value."""


def draw_groups(
    groups: Sequence[tuple[str, Sequence[Curve]]], name: str, spec: "SummarySpec | None", baseline: float | None
) -> "Figure":
    """Draw curves by the label of their group, a line for each run.

    Args:
        groups: Label and curves of runs that differ by their seed only.
        name: The metric's.
        spec: How the task draws the metric, if it is its own.
        baseline: The trivial one, if all runs share it.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    axes = figure.subplots()
    colours = colormaps["turbo"].resampled(len(groups) + 2)
    for number, (text, curves) in enumerate(groups, start=1):
        label = (f"{text} ({len(curves)} runs)" if len(curves) > 1 else text).replace("$", r"\$")  # no formula is meant
        for curve in curves:
            style = {"ms": 3, "lw": 1.3, "color": colours(number), "label": label}
            axes.plot(list(curve), _clipped(list(curve.values()), spec), "o-", **style)
            label = ""  # one line of the legend for all
        _draw_band(axes, curves, spec, colours(number))
    if baseline is not None:
        axes.axhline(baseline, color="#718096", ls=":", lw=1.2, label="trivial baseline")
    axes.set(xlabel="step", ylabel=spec.label if spec else name, title=name)
    if spec is not None and spec.log:
        axes.set_yscale("log")
        label_clipped(axes.yaxis, spec.limits[0])
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _clipped(values: Sequence[float], spec: "SummarySpec | None") -> list[float]:
    low, high = spec.limits if spec else (-math.inf, math.inf)
    return [min(max(value, low), high) for value in values]


def _draw_band(axes: "Axes", curves: Sequence[Curve], spec: "SummarySpec | None", colour: Any) -> None:
    """Draw the 95 % interval over seeds, at the steps that all runs of a group have."""
    steps = sorted(set.intersection(*map(set, curves)))
    if len(curves) < 2 or not steps:
        return
    stated = [mean_interval([curve[step] for curve in curves]) for step in steps]
    low, high = (_clipped([of[end] for of in stated], spec) for end in INTERVAL[2:])
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
