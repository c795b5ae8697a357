"""Evaluate a trained model again: metrics with intervals, every prediction, the task's figures.

    world-models evaluate outputs/runs/location-001
    world-models evaluate outputs/runs/random_walk_small-001 --checkpoint all --radius_km 500

Scores are computed by the code that scores in training. Everything goes to `<run>/evaluations/` and into an MLflow run
below that of the training. With a run, --help shows the options of its dataset: with another value, a dataset is built.
"""

from dataclasses import dataclass
from typing import Any

from trainers.folders.run_folder import named_run
from trainers.options import option
from trainers.settings.command import command


@dataclass
class EvaluateOptions:
    """Which weights are evaluated, and on what."""

    run: str = option("", "folder of a run")
    checkpoint: str = option("best", "weights: best, last, all, or a step's")
    split: str | None = option(None, "split of the dataset; default: all but train")
    dataset: str | None = option(None, "folder of another dataset of the task")


def _dataset_options(run: str) -> type:
    from trainers.runs.trained import dataset_options

    return dataset_options(named_run(run))


@command(EvaluateOptions, positional="run", extra=lambda flags: _dataset_options(" ".join(flags.get("run", []))))
def main(options: EvaluateOptions, dataset: Any) -> None:
    """Evaluate one run."""
    from trainers.folders.weights import named_weights
    from trainers.runs.evaluation import evaluate_run
    from trainers.runs.trained import dataset_of

    run = named_run(options.run)
    weights = named_weights(run, options.checkpoint)
    evaluate_run(run, weights, dataset_of(run, options.dataset, dataset), options.split)
