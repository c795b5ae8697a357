"""The runs of a study by name and seed, and the MLflow run above them."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common.files import write_json
from trainers.common.seeds import seeds_of
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.child_processes import ChildOptions, train_all
from trainers.studies.study_file import SeededStudy

if TYPE_CHECKING:
    from trainers.tracking.tracker import Tracker

SeedRuns = Mapping[int, RunFolder]
"""Seed -> the finished run with it."""
_RUN_ID = "mlflow_run_id"


@contextlib.contextmanager
def parent_run(folder: Path, marker: str, experiment: str) -> "Iterator[Tracker]":
    """Start, or go on with, the MLflow run above the runs of a folder, which the folder's marker names.

    Raises:
        UserError: the marker is damaged.
    """
    from trainers.tracking.mlflow_runs import tracked_run
    from trainers.tracking.mlflow_store import open_store

    experiment_id = open_store(experiment)
    content = read_marker(folder / marker)
    with tracked_run(experiment_id, folder, content.get(_RUN_ID)) as tracker:
        write_json(folder / marker, {**content, _RUN_ID: tracker.run_id})
        yield tracker


def read_marker(path: Path) -> dict[str, Any]:
    """Return what a command's folder says of itself."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or give another --output_dir") from error


class Children:
    """Trains the runs of a study as asked for, below one MLflow run, and keeps which of them failed.

    Args:
        options: Seeds, runs at once, and whether a failure stops the others.
        tracker: Of the MLflow run above them.
    """

    def __init__(self, options: ChildOptions, tracker: "Tracker") -> None:
        self.options, self.tracker = options, tracker
        self.seeds = seeds_of(options.seeds) if options.seeds else None
        self.states: dict[str, str] = {}
        """Folder's name -> how the run ended."""

    def train(self, jobs: Mapping[Path, Mapping[str, Any]]) -> list[RunFolder]:
        """Train what is not finished yet, folder -> flags; return the finished runs, and keep what became of all."""
        codes = train_all(jobs, self.options, self.tracker.run_id)
        self.states |= {folder.name: state_of(codes.get(folder)) for folder in jobs}
        return [RunFolder(folder) for folder in jobs if codes.get(folder) == 0]

    def train_seeds(self, study: SeededStudy, folder: Path) -> dict[str, SeedRuns]:
        """Train a study of seeds; return the finished runs of every name. `--seeds` wins over the file's.

        Raises:
            UserError: no run is finished.
        """
        seeds = self.seeds or study.seeds
        places = {(name, seed): folder / f"{name}-{seed}" for name in study.runs for seed in seeds}
        jobs = {place: {**study.runs[name], "seed": seed} for (name, seed), place in places.items()}
        finished = {run.path for run in self.train(jobs)}
        if not finished:
            self.check()
        return {
            name: {seed: RunFolder(places[name, seed]) for seed in seeds if places[name, seed] in finished}
            for name in study.runs
        }

    def check(self) -> None:
        """Raise a `UserError` unless all runs are finished."""
        if failed := {name: state for name, state in self.states.items() if state != "finished"}:
            raise UserError(
                f"{len(failed)} of {len(self.states)} runs are not finished:"
                f" {', '.join(f'{name} ({state})' for name, state in failed.items())}; the same command goes on"
            )


def state_of(code: int | None) -> str:
    """Return how a run ended, by its exit code; None: it was not started."""
    return "not started" if code is None else f"failed (exit code {code})" if code else "finished"
