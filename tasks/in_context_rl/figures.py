"""Figures of learning in context."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.in_context_rl.aggregate import performance_profile, profile_band
from tasks.in_context_rl.yardsticks import LABELS

if TYPE_CHECKING:
    from tasks.in_context_rl.rows import HistoryRows

_BLUE, _RED, _GREY = "#2b6cb0", "#c53030", "#718096"


def curves_figure(return_KE: np.ndarray, rows: "HistoryRows", title: str) -> Figure:
    """Draw the return by episode in context, each of K tasks thin and their mean thick, and `draw_references`."""
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    episode_E = np.arange(1, return_KE.shape[1] + 1)
    if len(return_KE) <= 20:
        axes.plot(episode_E, return_KE.T, color=_BLUE, alpha=0.25, lw=0.8)
    label = f"the model, mean of {len(return_KE)} tasks"
    axes.plot(episode_E, return_KE.mean(axis=0), color=_BLUE, lw=2.2, label=label)
    draw_references(axes, rows, len(episode_E))
    axes.set(xlabel="episode in context", ylabel="return of an episode", title=title, xlim=(1, max(2, len(episode_E))))
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_references(axes: Axes, rows: "HistoryRows", n_episodes: int) -> None:
    """Draw what a model's returns in the tasks of these rows are compared with, as far as it has episodes.

    The source is drawn at its own pace: where a history keeps every fourth episode, every fourth has a point.
    """
    _, facts = rows.tasks()
    source = rows.source_episode_E, rows.returns().mean(axis=0)
    shown = source[0] <= n_episodes
    axes.plot(source[0][shown], source[1][shown], color=_RED, lw=1.2, marker=".", ms=4, label="the source, same tasks")
    for (name, return_KRE), style in zip(rows.yardsticks.items(), ("-.", (0, (1, 1)), (0, (6, 2))), strict=True):
        mean_E = return_KRE.mean(axis=(0, 1))
        regret = float((facts["optimal_return"].mean() - mean_E).sum())
        label = f"{LABELS[name]} (regret {regret:.0f})"
        axes.plot(np.arange(1, len(mean_E) + 1), mean_E, color="black", ls=style, lw=1.1, label=label)
    random, optimal = (float(facts[f"{name}_return"].mean()) for name in ("random", "optimal"))
    axes.axhline(optimal, color=_GREY, ls="--", lw=1, label=f"optimal actions ({optimal:.2f})")
    axes.axhline(random, color=_GREY, ls=":", lw=1, label=f"random actions ({random:.2f})")
    axes.grid(alpha=0.25)


def draw_profile(axes: Axes, score_SK: np.ndarray, threshold_T: np.ndarray, colour: str, label: str) -> None:
    """Draw the performance profile of a model: the share of its seeds and tasks above each normalised return."""
    axes.plot(threshold_T, performance_profile(score_SK, threshold_T), color=colour, lw=2.2, label=label)
    if band := profile_band(score_SK, threshold_T):
        axes.fill_between(threshold_T, *band, color=colour, alpha=0.15, lw=0)
    axes.set(
        xlabel="normalised return of the last episodes", ylabel="share of seeds and tasks above it", ylim=(0, 1.02)
    )
    axes.set_title("performance profile (band: 95 %, stratified bootstrap)" if band else "performance profile")
    axes.grid(alpha=0.25)


def per_task_figure(labels: Sequence[str], reached_K: np.ndarray, optimal_K: np.ndarray, title: str) -> Figure:
    """Draw the return of the last episodes in every task as bars, the optimum as a line across each."""
    figure = Figure(figsize=(max(5.0, 0.5 * len(labels) + 2), 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(labels))
    axes.bar(places, reached_K, color=_BLUE, label="last episodes in context")
    axes.hlines(optimal_K, places - 0.4, places + 0.4, color=_RED, label="optimum")
    axes.set_xticks(places, labels, rotation=60, ha="right")
    axes.set(ylabel="return of an episode", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
