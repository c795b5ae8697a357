"""Evaluate a trained model again: metrics with intervals, every prediction, the task's figures.

    world-models evaluate outputs/runs/location-001
    world-models evaluate outputs/runs/random_walk_small-001 --checkpoint all --radius_km 500
    world-models evaluate outputs/runs/arc-001 --adapt

Scores are computed by the code that scores in training. Everything goes to `<run>/evaluations/` and into an MLflow run
below that of the training. With a run, --help shows the options of its dataset: with another value, a dataset is built.
With --adapt too, it shows those of test-time training.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.folders.dataset_folder import read_metadata
from trainers.folders.run_dataset import dataset_of, dataset_options
from trainers.folders.run_folder import named_run
from trainers.folders.weights import named_weights
from trainers.options import option
from trainers.runs.adaptation import adapt_run, only, with_adapter_flags
from trainers.settings.command import command
from trainers.settings.layers import Layer, is_true


@dataclass
class EvaluateOptions:
    """Which weights are evaluated, and on what."""

    run: str = option("", "folder of a run")
    checkpoint: str = option("best", "weights: best, last, all, or a step's")
    split: str | None = option(None, "split of the dataset; default: all but train")
    dataset: str | None = option(None, "folder of another dataset of the task")
    adapt: bool = option(False, "test-time training: train a copy on what each task shows, then let that answer")


def _more_options(flags: Layer) -> type:
    """Return the dataset's options, and those of test-time training if it is asked for."""
    options = _dataset_options(flags)
    if "adapt" not in flags or not is_true(flags["adapt"]):
        return options
    return with_adapter_flags(named_run(" ".join(flags.get("run", []))).task, options)


def _dataset_options(flags: Layer) -> type:
    """Return the dataset's options; beside --dataset the run's own values, which may be lost, are not needed."""
    run, folder = named_run(" ".join(flags.get("run", []))), " ".join(flags.get("dataset", []))
    if not folder:
        return dataset_options(run)
    read_metadata(Path(os.path.expanduser(folder)), run.task.name)  # refused before transformers' parser is imported
    return run.task.options


@command(EvaluateOptions, positional="run", extra=_more_options)
def main(options: EvaluateOptions, more: Any) -> None:
    """Evaluate one run."""
    run = named_run(options.run)
    weights = named_weights(run, options.checkpoint)
    kind = run.task.options if options.dataset else dataset_options(run)
    data = dataset_of(run, options.dataset, only(kind, more))
    if options.adapt:
        adapt_run(run, weights, data, options.split, only(run.task.load("adapter").options, more))
        return

    from trainers.runs.evaluation import evaluate_run  # heavy: imported when everything that is named was found

    evaluate_run(run, weights, data, options.split)
