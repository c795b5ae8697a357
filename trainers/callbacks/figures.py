"""Callbacks that draw: `summary.png`, the figures of the task, and a probe at every evaluation."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from tqdm import tqdm
from transformers import TrainerCallback, TrainerState, TrainingArguments

from trainers.base import WorldTrainer
from trainers.common import figures
from trainers.common.metric_names import EVAL, MetricName
from trainers.contract import Evaluation, SummarySpec
from trainers.folders.run_folder import RunFolder
from trainers.probes.checkpoints import console_line, title
from trainers.probes.probe import Probe
from trainers.tracking.tracker import Tracker

_SHARE = 0.1  # of the time, at most, for figures of evaluations that are not the last
_BLUE, _RED, _GREY = "#2b6cb0", "#c53030", "#718096"


def summary_figure(
    history: Sequence[Mapping[str, Any]], evaluation: Evaluation, metric: str, spec: SummarySpec
) -> Figure:
    """Draw losses by step, the primary metric by step, and a histogram of the newest values.

    Args:
        history: `trainer.state.log_history`.
        evaluation: The newest one of the split that is drawn.
        metric: The primary metric's name, without prefix.
    """
    figure = Figure(figsize=(15, 4.6), dpi=120, layout="constrained")
    loss_axes, metric_axes, histogram_axes = figure.subplots(1, 3)
    _draw_losses(loss_axes, history, evaluation)
    _draw_metric(metric_axes, history, evaluation, metric, spec)
    _draw_histogram(histogram_axes, np.asarray(evaluation.values, dtype=float), spec)
    return figure


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    points = [(entry["step"], entry[key]) for entry in history if key in entry]
    return [step for step, _ in points], [value for _, value in points]


def _draw_losses(axes: Axes, history: Sequence[Mapping[str, Any]], evaluation: Evaluation) -> None:
    split, bound = evaluation.split, evaluation.entropy_bound
    axes.plot(*_series(history, "loss"), color=_BLUE, alpha=0.5, lw=1, label="train")
    axes.plot(*_series(history, MetricName(EVAL, split, "loss").logged), "o-", color=_RED, ms=4, lw=1, label=split)
    if bound is not None:
        axes.axhline(bound, color=_GREY, ls="--", lw=0.8, label=f"least possible for {split}")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="step", ylabel="loss (nats per token that is predicted)")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)


def _draw_metric(
    axes: Axes, history: Sequence[Mapping[str, Any]], evaluation: Evaluation, metric: str, spec: SummarySpec
) -> None:
    steps, values = _series(history, MetricName(EVAL, evaluation.split, metric).logged)
    low, high = spec.limits
    axes.plot(steps, np.clip(values, low, high), "o-", color=_RED, ms=4, lw=1.2, label=evaluation.split)
    for value, text in spec.lines.items():
        axes.axhline(value, color=_GREY, ls="--", lw=0.8)
        note = axes.annotate(
            text, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
        note.set(color=_GREY, in_layout=False, annotation_clip=True)
    if (baseline := evaluation.baselines.get(metric, {}).get("")) is not None:
        axes.axhline(baseline, color=_BLUE, ls=":", lw=1.2, label="trivial baseline")
    axes.set(xlabel="step", ylabel=spec.label, ylim=(low, high * 1.3 if spec.log else high))
    if spec.log:
        axes.set_yscale("log")
        figures.label_clipped(axes.yaxis, low)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower left")


def _draw_histogram(axes: Axes, values: np.ndarray, spec: SummarySpec) -> None:
    low, high = spec.limits
    bins = np.geomspace(low, high, 41) if spec.log else np.linspace(low, high, 41)
    axes.hist(np.clip(values, low, high), bins=bins.tolist(), color=_BLUE, alpha=0.8)
    heading = f"newest evaluation, {len(values):,} rows"
    if spec.log:
        axes.set_xscale("log")
        figures.label_clipped(axes.xaxis, low)
        heading += f": {np.mean(values <= low) if len(values) else 0:.1%} at most {low:g}"
    if spec.log and len(values):
        axes.set_yscale("log")
    axes.set_title(heading, fontsize=10)
    axes.set(xlabel=spec.value_label, ylabel="rows")
    for value in spec.lines:
        axes.axvline(value, color=_GREY, ls="--", lw=0.8)
    axes.grid(alpha=0.25)


class DrawFigures(TrainerCallback):
    """Redraw and track `summary.png` and the task's own figures; those of the test split have its name in front.

    The figures of an evaluation replace those before: where drawing would take more than a tenth of the time, some
    evaluations are not drawn. The first and the final ones always are.
    """

    def __init__(self, trainer: WorldTrainer, tracker: Tracker) -> None:
        self.trainer, self.tracker = trainer, tracker
        self._made_s, self._drawing_s, self._drawn_step = time.monotonic(), 0.0, -1

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Draw the newest evaluation, if its step is drawn."""
        evaluation, start_s = self.trainer.last, time.monotonic()
        is_behind = self._drawing_s > _SHARE * (start_s - self._made_s)
        if is_behind and evaluation.stage == EVAL and evaluation.step != self._drawn_step:
            return
        self._draw(evaluation, state, Path(args.output_dir or "."))
        self._drawing_s, self._drawn_step = self._drawing_s + time.monotonic() - start_s, evaluation.step

    def _draw(self, evaluation: Evaluation, state: TrainerState, folder: Path) -> None:
        task = self.trainer.task
        is_summed_up = evaluation.split in self.trainer.evaluated[:1] or not self.trainer.evaluated
        if is_summed_up:
            figure = summary_figure(state.log_history, evaluation, task.primary_metric, task.plot)
            _save(figure, folder / "summary.png", self.tracker)
        for name, draw in evaluation.figures.items():
            _save(draw(), folder / (name if is_summed_up else f"{evaluation.split}_{name}"), self.tracker)


class ProbeWhileTraining(TrainerCallback):
    """Fit the task's probe at every evaluation (`--probe`). Main process only."""

    def __init__(self, trainer: WorldTrainer, tracker: Tracker, probe: Probe) -> None:
        self.trainer, self.tracker, self.probe, self.step = trainer, tracker, probe, -1

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Probe once a step, for all splits that are evaluated at it."""
        if state.global_step == self.step:
            return
        self.step = state.global_step
        result = self.probe.fit(self.probe.states(self.trainer.unwrapped_model))
        tqdm.write(console_line(self.step, result))
        self.tracker.metrics({f"probe_{self.probe.label}/{n}": v for n, v in result.flat().items()}, self.step)
        figure = result.draw(title(self.trainer.task.name, self.step))
        _save(figure, Path(args.output_dir or ".") / "probe_map.png", self.tracker)


def _save(figure: Figure, path: Path, tracker: Tracker) -> None:
    figures.save_figure(figure, path)
    RunFolder(path.parent).note_figure(path.name)
    tracker.file(path, "figures")
