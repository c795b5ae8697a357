"""Evaluate the model of a run, after any of its steps, on its own dataset or another; keep every prediction."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from trainers.base import WorldTrainer
from trainers.callbacks.reporting import evaluation_text
from trainers.common import figures
from trainers.common.files import read_json, write_csv, write_json, write_text
from trainers.common.intervals import interval_of_mean
from trainers.common.metric_names import EVAL, FINAL, SPEEDS, MetricName, parse_logged
from trainers.contract import Evaluation, Predictions, StoredDataset
from trainers.errors import UserError, suggest
from trainers.folders.locks import hold_lock
from trainers.folders.predictions import SUFFIX, PredictionsFile, write_predictions
from trainers.folders.run_folder import RunFolder
from trainers.folders.worlds import say_other_world
from trainers.runs.trained import load_trainer, settings_of
from trainers.tracking.mlflow_runs import tracked_run
from trainers.tracking.mlflow_store import open_store, page_of
from trainers.tracking.queries import EVALUATES_TAG
from trainers.tracking.tracker import Tracker

_FILE = "evaluation.json"


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of one model on one split.

    Attributes:
        metrics: Metric -> value, with baselines, references and the loss per token that is predicted.
        intervals: Metric -> its 95 % interval over examples, for those that are means.
    """

    evaluation: Evaluation
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]

    @property
    def results(self) -> dict[str, float]:
        """The metrics by their names in `results.json`."""
        return {MetricName(FINAL, self.evaluation.split, name).logged: value for name, value in self.metrics.items()}

    @property
    def tracked(self) -> dict[str, float]:
        """The metrics by their names in MLflow."""
        return {MetricName(EVAL, self.evaluation.split, name).tracked: value for name, value in self.metrics.items()}


def score_splits(trainer: WorldTrainer, split: str | None = None) -> list[Scores]:
    """Evaluate one split, or all but train, as at the end of a training.

    Raises:
        UserError: the dataset has no such split.
    """
    if split and split not in trainer.rows:
        known = ", ".join(trainer.rows)
        raise UserError(f"--split {split}: {trainer.data.path} has {known}.{suggest(split, trainer.rows)}")
    scored = []
    for name in [split] if split else [name for name in trainer.rows if name != "train"]:
        logged = trainer.evaluate(trainer.rows[name], metric_key_prefix=f"{FINAL}_{name}")
        names = {text: parse_logged(text, [name]) for text in logged if not text.endswith(SPEEDS)}
        metrics = {parsed.metric: logged[text] for text, parsed in names.items() if parsed}
        scored.append(Scores(trainer.last, metrics, intervals_of(trainer.last.predictions)))
    return scored


def intervals_of(predictions: Mapping[str, Predictions]) -> dict[str, tuple[float, float]]:
    """Return metric -> 95 % interval over examples, of all metrics that are means over at least two."""
    found = {}
    for table in predictions.values():
        groups = table.columns[table.group] if table.group else None
        for name, values in table.scores.items():
            if interval := interval_of_mean(values, table.weights.get(name), groups):
                found[name] = interval
    return found


def evaluate_run(run: RunFolder, weights: Mapping[int, Path], data: StoredDataset, split: str | None) -> None:
    """Evaluate weights of a run (step -> folder); print, write and track the results of each.

    Raises:
        UserError: weights do not fit, there is no such split, or another process writes this run's evaluations.
    """
    settings = settings_of(run)
    other = "" if data.path == run.dataset else say_other_world(str(run.path), run.path, data)
    if other and PartialState().is_main_process:
        print(f"note: {other}", flush=True)
    folder = run.evaluations if data.path == run.dataset else run.evaluations / data.path.name
    with tracked_evaluation(run, data) if PartialState().is_main_process else contextlib.nullcontext() as tracker:
        for step, path in weights.items():
            trainer = load_trainer(settings, path, step, data)
            scored = score_splits(trainer, split)
            if tracker:
                _keep(run, data, folder / f"step-{step}", scored, tracker)
        if tracker:
            for summary in _summaries(folder, trainer):
                tracker.file(summary)
            print(f"written: {folder}\ntracked: {page_of(tracker.run_id)}", flush=True)
    PartialState().wait_for_everyone()  # see `session.train`
    PartialState().destroy_process_group()


@contextlib.contextmanager
def tracked_evaluation(run: RunFolder, data: StoredDataset, how: str = "") -> Iterator[Tracker]:
    """Hold the run's folder of evaluations, and start an MLflow run below that of the training.

    Args:
        how: What the MLflow run's name says besides "evaluated".
    """
    run.evaluations.mkdir(exist_ok=True)
    with (
        hold_lock(run.evaluations),
        tracked_run(open_store(run.task.name), run.evaluations, None, run.run_id) as tracker,
    ):
        named = {
            "mlflow.runName": f"{run.path.name} evaluated {how}".strip(),
            EVALUATES_TAG: run.run_id or run.path.name,
        }
        tracker.tags({"task": run.task.name, **named, "dataset.folder": data.path.name})
        tracker.dataset(data)
        yield tracker


def _keep(run: RunFolder, data: StoredDataset, folder: Path, scored: Sequence[Scores], tracker: Tracker) -> None:
    """Print, write and track the results of one step, beside those of other splits."""
    folder.mkdir(parents=True, exist_ok=True)
    before, step = _read(folder / _FILE), scored[0].evaluation.step
    for of in scored:
        print(evaluation_text(of.evaluation, of.metrics["loss"], of.intervals), flush=True)
        before["metrics"] |= of.results
        before["intervals"][of.evaluation.split] = of.intervals
        tracker.metrics(of.tracked, step)
        for path in _write_split(folder, run, of):
            tracker.file(path, folder.name)
    write_json(folder / _FILE, {**before, "run": run.path.name, "step": step, "dataset_folder": str(data.path)})
    tracker.file(folder / _FILE, folder.name)


def _read(path: Path) -> dict[str, Any]:
    """Return what an evaluation has written, or an empty one."""
    if not path.is_file():
        return {"metrics": {}, "intervals": {}}
    return read_json(path, "delete it, and evaluate again", {"metrics": dict, "intervals": dict})


def _write_split(folder: Path, run: RunFolder, scores: Scores) -> list[Path]:
    """Write predictions and figures of a split; return their paths."""
    evaluation = scores.evaluation
    paths = write_predictions(folder, evaluation, {"task": run.task.name, "run": run.path.name})
    for name, draw in evaluation.figures.items():
        paths.append(folder / f"{evaluation.split}_{name}")
        figures.save_figure(draw(), paths[-1])
    return paths


def _summaries(folder: Path, trainer: WorldTrainer) -> list[Path]:
    """Write a table of all steps that were evaluated, also before, and the task's page of every split; return both."""
    steps = {int(path.name.removeprefix("step-")): path for path in folder.glob("step-*")}
    metrics = {step: _read(steps[step] / _FILE)["metrics"] for step in sorted(steps)}
    columns = dict.fromkeys(name for of in metrics.values() for name in of)
    paths = [folder / "evaluations.csv"]
    write_csv(paths[0], [{"step": step, **dict.fromkeys(columns), **of} for step, of in metrics.items()])
    for split in trainer.rows:
        kept = {step: steps[step] / f"{split}_examples{SUFFIX}" for step in metrics}
        frames = {step: PredictionsFile(path).frame for step, path in kept.items() if path.is_file()}
        if frames and (page := trainer.draw_page(split, frames)):
            paths.append(folder / f"{split}.html")
            write_text(paths[-1], page)
    return paths
