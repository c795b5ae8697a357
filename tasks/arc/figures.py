"""Pictures of episodes in the colours of the ARC website."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

PALETTE = ListedColormap(
    ["#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25"]
)
_RIGHT, _WRONG = "#2f855a", "#c53030"


@dataclass(frozen=True)
class Episode:
    """What one row of a picture shows; `generated` is None where no grid could be read."""

    task: str
    demonstrations: Sequence[tuple[np.ndarray, np.ndarray]]
    given: np.ndarray
    expected: np.ndarray
    generated: np.ndarray | None


def episodes_figure(episodes: Sequence[Episode], title: str) -> Figure:
    """One line for each episode: its demonstrations, the input, the expected and the generated output."""
    n_columns = 2 * max(len(episode.demonstrations) for episode in episodes) + 3
    figure = Figure(figsize=(1.7 * n_columns, 1.9 * len(episodes) + 0.5), dpi=100, layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(episodes), n_columns, squeeze=False)
    for line, episode in zip(grid, episodes, strict=True):
        shown = [
            (f"{part} {n}", g)
            for n, pair in enumerate(episode.demonstrations, 1)
            for part, g in zip(("in", "out"), pair, strict=True)
        ]
        shown += [(f"{episode.task}: input", episode.given), ("expected", episode.expected)]
        for axes in line:
            axes.axis("off")
        for axes, (label, cells) in zip(line, shown, strict=False):
            _draw(axes, cells, label, "black")
        is_right = episode.generated is not None and np.array_equal(episode.generated, episode.expected)
        cells = np.zeros((1, 1)) if episode.generated is None else episode.generated
        label = "no grid" if episode.generated is None else "generated"
        _draw(line[-1], cells, label, _RIGHT if is_right else _WRONG)
    return figure


def per_task_figure(per_task: Mapping[str, tuple[float, float]], title: str) -> Figure:
    """Exact match of every task as bars, the better trivial baseline (the second number) as a line across each."""
    figure = Figure(figsize=(max(5.0, 0.55 * len(per_task) + 2), 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(per_task))
    found, trivial = zip(*per_task.values(), strict=True)
    axes.bar(places, found, color="#2b6cb0", label="generated exact match")
    axes.hlines(trivial, places - 0.4, places + 0.4, color=_WRONG, label="better of copy and common")
    axes.set_xticks(places, list(per_task), rotation=60, ha="right")
    axes.set(ylim=(0, 1.02), ylabel="share of grids", title=title)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _draw(axes: Axes, cells: np.ndarray, label: str, colour: str) -> None:
    axes.imshow(cells, cmap=PALETTE, vmin=0, vmax=9)
    axes.set_title(label, fontsize=8, color=colour)
