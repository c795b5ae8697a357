"""Run the children of a sweep and report them."""

import json
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment
from trainers.common.files import write_csv, write_json
from trainers.errors import UserError
from trainers.folders.command_folder import hold_folder
from trainers.studies.study_file import study_path

if TYPE_CHECKING:
    from trainers.studies.sweep_plan import Sweep
    from trainers.studies.sweep_runs import Child
    from trainers.tracking.tracker import Tracker


MARKER = "sweep.json"


def sweep(study: str, storage: str | None, output_dir: str | None) -> None:
    """Run the sweep in a file of configs/studies/, or go on with it.

    Raises:
        UserError: it is no sweep, or the folder or the storage cannot be used.
    """
    from trainers.studies.sweep_plan import read_sweep

    path = study_path(study)
    plan = read_sweep(path)
    if plan.grid and storage:
        raise UserError(f"--storage is for a search, and {path} is a grid; leave it out")
    default = environment.resolved_prefix() / "sweeps" / plan.name
    # Whose trials are its own, and its MLflow run once there is one.
    state = {"worker": secrets.token_hex(8), "mlflow_run_id": None}
    with hold_folder(Path(output_dir or default), MARKER, state) as folder:
        run_sweep(plan, path, folder, storage or f"sqlite:///{folder / 'optuna.db'}")


def run_sweep(sweep: "Sweep", path: Path, folder: Path, storage: str) -> None:
    """Train the children below one record, which is continued when the sweep is."""
    from trainers.studies.sweep_runs import open_study, ranked, storage_errors, train_children
    from trainers.tracking.mlflow_store import open_store, tracked_run

    experiment_id = open_store(sweep.task.name)
    state = _state(folder)
    study = open_study(sweep, storage)
    with tracked_run(experiment_id, folder, state["mlflow_run_id"]) as tracker:
        write_json(folder / MARKER, {**state, "mlflow_run_id": tracker.run_id})
        tracker.tags({"task": sweep.task.name, "sweep": "search" if sweep.space else "grid"})
        tracker.file(path, "config")
        with storage_errors(storage):
            children = train_children(sweep, study, folder, state["worker"], str(tracker.run_id))
        _report(sweep, ranked(children, sweep.task.greater_is_better), folder, tracker)


def _state(folder: Path) -> dict[str, Any]:
    """What the folder remembers, without an MLflow run that has been deleted since."""
    from mlflow import MlflowClient, MlflowException

    path = folder / MARKER
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        found = {"worker": str(state["worker"]), "mlflow_run_id": state["mlflow_run_id"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or give another --output_dir") from error
    if found["mlflow_run_id"] is None:
        return found
    try:
        active = MlflowClient().get_run(found["mlflow_run_id"]).info.lifecycle_stage == "active"
    except MlflowException:
        active = False
    return found if active else {**found, "mlflow_run_id": None}


def _report(sweep: "Sweep", children: "Sequence[Child]", folder: Path, tracker: "Tracker") -> None:
    """Table and best child: printed, as CSV, and in the sweep's record.

    Raises:
        UserError: no child, or not every one of a grid, was trained to its end.
    """
    from trainers.common import tables
    from trainers.studies.study_file import tokens_of

    metric = sweep.task.primary_metric
    rows = [{"run": c.name, **c.flags, metric: c.value, "state": c.state} for c in children]
    write_csv(folder / "sweep.csv", rows)
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "sweep.json")
    print(f"\n{tables.format_table(rows)}\nwritten: {folder / 'sweep.csv'}", flush=True)
    best, failed = children[0], [child for child in children if child.state.startswith("failed")]
    if best.value is not None:
        tracker.tags({"best_run": best.name})
        tracker.params({f"best.{name}": value for name, value in best.flags.items()})
        tracker.metrics({f"best/{metric}": best.value}, step=len(children) - len(failed))
        print(f"best: {shlex.join(tokens_of(best.flags))}", flush=True)
    if failed and (sweep.grid or best.value is None):
        raise UserError(
            f"{len(failed)} of {len(children)} runs failed, e.g. {failed[0].name}; its own words stand above"
        )
