"""Figures of examples in the colours of the ARC website."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from tasks.arc.grids import COLOURS_RGB

PALETTE = ListedColormap([f"#{colour}" for colour in COLOURS_RGB])
RIGHT, WRONG = "#2f855a", "#c53030"


@dataclass(frozen=True)
class ArcExample:
    """One line of the figure; `generated` is None where no grid could be read."""

    task: str
    demonstrations: Sequence[tuple[np.ndarray, np.ndarray]]
    given: np.ndarray
    expected: np.ndarray
    generated: np.ndarray | None


def examples_figure(examples: Sequence[ArcExample], title: str) -> Figure:
    """Draw one line per example: demonstrations, input, expected and generated output."""
    n_columns = 2 * max(len(example.demonstrations) for example in examples) + 3
    figure = Figure(figsize=(1.7 * n_columns, 1.9 * len(examples) + 0.5), dpi=100, layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(examples), n_columns, squeeze=False)
    for line, example in zip(grid, examples, strict=True):
        shown = [
            (f"{part} {number}", cells)
            for number, pair in enumerate(example.demonstrations, 1)
            for part, cells in zip(("in", "out"), pair, strict=True)
        ]
        shown += [(f"{example.task}: input", example.given), ("expected", example.expected)]
        for axes in line:
            axes.axis("off")
        for axes, (label, cells) in zip(line, shown, strict=False):
            draw_grid(axes, cells, label, "black")
        if example.generated is None:
            draw_grid(line[-1], np.zeros((1, 1)), "no grid", WRONG)
        else:
            is_right = np.array_equal(example.generated, example.expected)
            draw_grid(line[-1], example.generated, "generated", RIGHT if is_right else WRONG)
    return figure


def per_task_figure(per_task: Mapping[str, tuple[float, float]], title: str) -> Figure:
    """Draw the exact match of every task as bars, the best trivial baseline (second number) as a line on each."""
    figure = Figure(figsize=(max(5.0, 0.55 * len(per_task) + 2), 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(per_task))
    matched, trivial = zip(*per_task.values(), strict=True)
    axes.bar(places, matched, color="#2b6cb0", label="generated exact match")
    axes.hlines(trivial, places - 0.4, places + 0.4, color=WRONG, label="best trivial baseline")
    axes.set_xticks(places, list(per_task), rotation=60, ha="right")
    axes.set(ylim=(0, 1.02), ylabel="share of grids", title=title)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False)
    return figure


def draw_grid(axes: Axes, cells: np.ndarray, label: str, colour: str) -> None:
    """Draw one grid under its label."""
    axes.imshow(cells, cmap=PALETTE, vmin=0, vmax=9)
    axes.set_title(label, fontsize=8, color=colour)
