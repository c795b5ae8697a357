"""Callbacks that show and track numbers: progress, metrics and first examples of evaluations."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerState

from trainers.base import WorldTrainer
from trainers.common.metric_names import FINAL, MetricName, tracked_numbers
from trainers.common.tables import format_number
from trainers.contract import Evaluation
from trainers.folders.predictions import write_predictions
from trainers.folders.run_folder import RunFolder
from trainers.tracking.tracker import Tracker

_EXAMPLES, _ROWS_KEPT = "examples.json", 2000
_LINE_EVERY_S = 10.0  # without a terminal: least time between two progress lines


class TrackMetrics(TrainerCallback):
    """Send every logged number to MLflow, under its name there; also what a resumed run has logged before."""

    def __init__(self, tracker: Tracker, splits: list[str], primary: str) -> None:
        self.tracker, self.splits, self.primary = tracker, splits, primary
        self.sent, self.params = 0, {}

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Queue the numbers under their step."""
        for entry in state.log_history[self.sent :]:
            if "train_runtime" in entry:  # the summary at the end, in which no curve has a point
                self.tracker.tags({f"summary.{n.removeprefix('train_')}": v for n, v in entry.items() if n != "step"})
                continue
            metrics, params = tracked_numbers(entry, self.splits, self.primary)
            self.tracker.metrics(metrics, int(entry["step"]))
            if not params.keys() <= self.params.keys():
                self.tracker.params(params)
                self.params |= params
        self.sent = len(state.log_history)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make an evaluation visible at once."""
        self.tracker.flush()


class ShowExamples(TrainerCallback):
    """Print the metrics and first examples of an evaluation, and track its examples in one table of all steps."""

    def __init__(self, trainer: WorldTrainer, tracker: Tracker) -> None:
        self.trainer, self.tracker = trainer, tracker
        self.rows: list[list[Any]] | None = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the newest evaluation."""
        evaluation = self.trainer.last
        loss = kwargs["metrics"][MetricName(evaluation.stage, evaluation.split, "loss").logged]
        tqdm.write(evaluation_text(evaluation, loss))
        sys.stdout.flush()
        names = ["step", *evaluation.samples, "split", "stage"]
        if self.rows is None:  # of a resumed run
            self.rows = [row for row in self.tracker.rows(_EXAMPLES) if row[0] < evaluation.step]
        examples = zip(*evaluation.samples.values(), strict=True)
        self.rows += [[evaluation.step, *row, evaluation.split, evaluation.stage] for row in examples]
        self.rows = self.rows[-_ROWS_KEPT:]
        self.tracker.table(dict(zip(names, map(list, zip(*self.rows, strict=True)), strict=True)), _EXAMPLES)


class KeepPredictions(TrainerCallback):
    """Write and track every prediction of the last evaluation of each split. Main process only."""

    def __init__(self, trainer: WorldTrainer, tracker: Tracker) -> None:
        self.trainer, self.tracker = trainer, tracker

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep those of the newest evaluation, if it is the last one of its split."""
        evaluation, run = self.trainer.last, RunFolder(Path(args.output_dir))
        if evaluation.stage != FINAL:
            return
        facts = {"task": self.trainer.task.name, "run": run.path.name}
        for path in write_predictions(run.predictions, evaluation, facts):
            self.tracker.file(path, "predictions")


def evaluation_text(
    evaluation: Evaluation, loss: float, intervals: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> str:
    """Return metrics with their 95 % intervals, baselines and references, and the first examples."""
    title = f"{evaluation.stage}_{evaluation.split} at step {evaluation.step}"
    lines = [f"\n{title}: loss {format_number(loss)}"]
    if evaluation.entropy_bound is not None:
        lines[0] += f"   (entropy bound {format_number(evaluation.entropy_bound)})"
    for name, value in evaluation.metrics.items():
        interval = "   95 % [{}, {}]".format(*map(format_number, intervals[name])) if name in intervals else ""
        lines.append(f"  {name:<24}{format_number(float(value)):>8}{interval}{_compared(name, evaluation)}")
    columns = [name for name in evaluation.samples if name != "which"]
    n_shown = evaluation.samples["which"].count("first") if "which" in evaluation.samples else None
    for example in zip(*(evaluation.samples[name][:n_shown] for name in columns), strict=True):
        lines.append("    " + "   ".join(f"{n} {format_number(v)}" for n, v in zip(columns, example, strict=True)))
    return "\n".join(lines)


def _compared(metric: str, evaluation: Evaluation) -> str:
    """Return baselines and references in parentheses; a baseline without a name only if it is the only one."""
    texts = []
    for title, by_metric in (("trivial baseline", evaluation.baselines), ("reference", evaluation.references)):
        values = {name: format_number(float(value)) for name, value in by_metric.get(metric, {}).items()}
        named = [f"{name} {value}" for name, value in values.items() if name]
        texts += [f"{title} {', '.join(named or values.values())}"] if values else []
    return f"   ({'; '.join(texts)})" if texts else ""


class Progress(TrainerCallback):
    """Show loss, metric and time left: a bar on a terminal, plain lines elsewhere. Main process only."""

    def __init__(self, trainer: WorldTrainer) -> None:
        self.trainer = trainer
        self.bar: tqdm | None = None
        self.newest: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Open the bar where a resumed run stopped."""
        self.start_s, self.start_step, self.line_s = time.monotonic(), state.global_step, 0.0
        if sys.stderr.isatty():
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Show the newest loss and primary metric."""
        has_loss = "loss" in kwargs["logs"]
        if has_loss:
            self.newest["loss"] = kwargs["logs"]["loss"]
        if self.bar is not None:
            self.bar.set_postfix({name: format_number(value) for name, value in self.newest.items()})
        elif has_loss and time.monotonic() - self.line_s > _LINE_EVERY_S:
            self.line_s = time.monotonic()
            print(self._line(state), flush=True)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the primary metric of the first split that is evaluated in training."""
        evaluation, metric = self.trainer.last, self.trainer.task.primary_metric
        if [evaluation.split] == self.trainer.evaluated[:1]:
            self.newest[metric] = evaluation.metrics[metric]

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _line(self, state: TrainerState) -> str:
        done = state.global_step - self.start_step
        left_s = (time.monotonic() - self.start_s) / max(done, 1) * (state.max_steps - state.global_step)
        shown = "  ".join(f"{name} {format_number(value)}" for name, value in self.newest.items())
        share = state.global_step / max(state.max_steps, 1)
        return f"step {state.global_step}/{state.max_steps} ({share:.0%})  {shown}  {left_s / 60:.1f} min left"
