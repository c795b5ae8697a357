"""Evaluate the model of a run, after any of its steps, on its own dataset or another; keep every prediction."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from trainers.base import WorldTrainer
from trainers.callbacks.reporting import evaluation_text
from trainers.common import figures
from trainers.common.files import write_csv, write_json
from trainers.common.intervals import interval_of_mean
from trainers.common.metric_names import EVAL, FINAL, SPEEDS, MetricName, parse_logged
from trainers.contract import Evaluation, Predictions, StoredDataset
from trainers.errors import UserError, suggest
from trainers.folders.locks import hold_lock
from trainers.folders.predictions import write_predictions
from trainers.folders.run_folder import RunFolder
from trainers.runs.trained import load_trainer
from trainers.tracking.mlflow_runs import tracked_run
from trainers.tracking.mlflow_store import open_store, page_of
from trainers.tracking.queries import EVALUATES_TAG

_FILE = "evaluation.json"


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of one model on one split.

    Attributes:
        metrics: As in `results.json`: `final_<split>_<metric>` -> value, the loss included.
        intervals: Metric -> its 95 % interval over examples, for those that are means.
    """

    evaluation: Evaluation
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]

    @property
    def loss(self) -> float:
        """The loss per token that is predicted."""
        return self.metrics[MetricName(FINAL, self.evaluation.split, "loss").logged]

    @property
    def tracked(self) -> dict[str, float]:
        """The metrics by their names in MLflow, `<split>/<metric>`."""
        names = {name: parse_logged(name, [self.evaluation.split]) for name in self.metrics}
        return {name._replace(stage=EVAL).tracked: self.metrics[logged] for logged, name in names.items() if name}


def score_splits(trainer: WorldTrainer, split: str | None = None) -> list[Scores]:
    """Evaluate one split, or all but train, as at the end of a training.

    Raises:
        UserError: the dataset has no such split.
    """
    known = [name for name in trainer.rows if name != "train"]
    if split and split not in trainer.rows:
        raise UserError(
            f"--split {split}: {trainer.data.path} has {', '.join(trainer.rows)}.{suggest(split, trainer.rows)}"
        )
    scored = []
    for name in [split] if split else known:
        metrics = trainer.evaluate(trainer.rows[name], metric_key_prefix=f"{FINAL}_{name}")
        kept = {n: v for n, v in metrics.items() if n.startswith(FINAL) and not n.endswith(SPEEDS)}
        scored.append(Scores(trainer.last, kept, intervals_of(trainer.last.predictions)))
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


def evaluate_run(run: RunFolder, weights: Mapping[int, Path], data: StoredDataset, split: str | None) -> list[Path]:
    """Evaluate weights of a run (step -> folder), write and track the results; return their folders.

    Raises:
        UserError: weights do not fit, there is no such split, or another process writes these results.
    """
    folders = []
    for step, path in weights.items():
        scored = score_splits(load_trainer(run, path, step, data), split)
        if PartialState().is_main_process:
            folders.append(_keep(run, step, data, split, scored))
    if len(folders) > 1:
        rows = [{"step": step, **_metrics(folder)} for step, folder in zip(weights, folders, strict=True)]
        write_csv(run.evaluations / "evaluations.csv", rows)
    return folders


def _keep(run: RunFolder, step: int, data: StoredDataset, split: str | None, scored: Sequence[Scores]) -> Path:
    """Write and track the results of one model; return their folder."""
    other = "" if data.path == run.dataset else data.path.name
    folder = run.evaluations / "-".join(filter(None, (f"step-{step}", other, split)))
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "run": run.path.name,
        "step": step,
        "dataset_folder": str(data.path),
        "metrics": {name: value for of in scored for name, value in of.metrics.items()},
        "intervals": {of.evaluation.split: of.intervals for of in scored},
    }
    experiment_id = open_store(run.task.name)
    with hold_lock(folder), tracked_run(experiment_id, folder, None, parent=run.run_id) as tracker:
        tracker.tags({"task": run.task.name, EVALUATES_TAG: run.run_id or run.path.name})
        for of in scored:
            print(evaluation_text(of.evaluation, of.loss, of.intervals), flush=True)
            tracker.metrics(of.tracked, step)
            for file in _write(folder, run, of):
                tracker.file(file, "evaluation")
        write_json(folder / _FILE, results)
        tracker.file(folder / _FILE, "evaluation")
    print(f"written: {folder}\ntracked: {page_of(experiment_id, tracker.run_id)}", flush=True)
    return folder


def _write(folder: Path, run: RunFolder, scores: Scores) -> list[Path]:
    """Write predictions and figures of a split; return their paths."""
    evaluation = scores.evaluation
    paths = write_predictions(folder, evaluation, {"task": run.task.name, "run": run.path.name})
    for name, draw in evaluation.figures.items():
        paths.append(folder / f"{evaluation.split}_{name}")
        figures.save_figure(draw(), paths[-1])
    return paths


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / _FILE).read_text(encoding="utf-8"))["metrics"]
