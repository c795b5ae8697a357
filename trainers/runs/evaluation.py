"""Evaluate the model of a run, after any of its steps, on its own dataset or another; keep every prediction."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelerate import PartialState

from trainers.base import WorldTrainer
from trainers.callbacks.reporting import evaluation_text
from trainers.common import figures
from trainers.common.files import write_csv, write_json, write_text
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
from trainers.tracking.tracker import Tracker

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


def evaluate_run(run: RunFolder, weights: Mapping[int, Path], data: StoredDataset, split: str | None) -> None:
    """Evaluate weights of a run (step -> folder); print, write and track the results.

    Raises:
        UserError: weights do not fit, there is no such split, or another process writes this run's evaluations.
    """
    evaluated: dict[int, list[Scores]] = {}
    trainer = None
    for step, path in weights.items():
        trainer = load_trainer(run, path, step, data)
        evaluated[step] = score_splits(trainer, split)
        for scores in evaluated[step] if PartialState().is_main_process else ():
            print(evaluation_text(scores.evaluation, scores.loss, scores.intervals), flush=True)
    if PartialState().is_main_process:
        folder, others = run.evaluations, ["" if data.path == run.dataset else data.path.name, split]
        folder.mkdir(exist_ok=True)
        experiment_id = open_store(run.task.name)
        with hold_lock(folder), tracked_run(experiment_id, folder, None, parent=run.run_id) as tracker:
            tracker.tags({"task": run.task.name, EVALUATES_TAG: run.run_id or run.path.name})
            _keep(run, data, evaluated, "".join(f"-{other}" for other in others if other), tracker)
            if trainer:
                _draw_pages(folder, evaluated, trainer, tracker)
        print(f"written: {folder}\ntracked: {page_of(tracker.run_id)}", flush=True)


def _keep(
    run: RunFolder, data: StoredDataset, evaluated: Mapping[int, Sequence[Scores]], suffix: str, tracker: Tracker
) -> None:
    """Write and track a folder for every step, and a table of all steps."""
    rows = []
    for step, scored in evaluated.items():
        folder = run.evaluations / f"step-{step}{suffix}"
        folder.mkdir(exist_ok=True)
        metrics = {name: value for of in scored for name, value in of.metrics.items()}
        intervals = {of.evaluation.split: of.intervals for of in scored}
        facts = {"run": run.path.name, "step": step, "dataset_folder": str(data.path)}
        for of in scored:
            tracker.metrics(of.tracked, step)
            for path in _write_split(folder, run, of):
                tracker.file(path, folder.name)
        write_json(folder / _FILE, {**facts, "metrics": metrics, "intervals": intervals})
        tracker.file(folder / _FILE, folder.name)
        rows.append({"step": step, **metrics})
    write_csv(run.evaluations / f"evaluations{suffix}.csv", rows)
    tracker.file(run.evaluations / f"evaluations{suffix}.csv")


def _write_split(folder: Path, run: RunFolder, scores: Scores) -> list[Path]:
    """Write predictions and figures of a split; return their paths."""
    evaluation = scores.evaluation
    paths = write_predictions(folder, evaluation, {"task": run.task.name, "run": run.path.name})
    for name, draw in evaluation.figures.items():
        paths.append(folder / f"{evaluation.split}_{name}")
        figures.save_figure(draw(), paths[-1])
    return paths


def _draw_pages(
    folder: Path, evaluated: Mapping[int, Sequence[Scores]], trainer: WorldTrainer, tracker: Tracker
) -> None:
    """Write and track the task's page of every split, if it has one."""
    for place, scores in enumerate(next(iter(evaluated.values()))):
        evaluations = {step: scored[place].evaluation for step, scored in evaluated.items()}
        if page := trainer.draw_page(evaluations):
            path = folder / f"{scores.evaluation.split}.html"
            write_text(path, page)
            tracker.file(path)
