"""Run a sweep: train its children below one MLflow run, and report them."""

import json
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment
from trainers.common.files import write_csv, write_json
from trainers.common.seeds import mean_interval, say_interval, without_seeds
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.command_folder import hold_folder
from trainers.studies.study_file import study_path, tokens_of
from trainers.studies.sweep_plan import Sweep, read_sweep
from trainers.tracking.mlflow_store import open_store, sqlite_uri

if TYPE_CHECKING:
    from trainers.studies.sweep_runs import Child
    from trainers.tracking.tracker import Tracker

_MARKER = "sweep.json"


def sweep(study: str, storage: str | None, output_dir: str | None) -> None:
    """Run the sweep in a file of configs/studies/, or continue it.

    Raises:
        UserError: it is no sweep, or the folder or the storage cannot be used.
    """
    path = study_path(study)
    plan = read_sweep(path)
    if plan.grid and storage:
        raise UserError(f"--storage is for a search, and {path} is a grid; leave it out")
    default = environment.resolved_prefix() / "sweeps" / plan.name
    # Whose trials are its own, and its MLflow run once there is one.
    state = {"worker": secrets.token_hex(8), "mlflow_run_id": None}
    with hold_folder(Path(output_dir or default), _MARKER, state) as folder:
        _run(plan, path, folder, storage or sqlite_uri(folder / "optuna.db"))


def _run(plan: Sweep, path: Path, folder: Path, storage: str) -> None:
    from trainers.studies.sweep_runs import open_study, storage_errors, train_children
    from trainers.tracking.mlflow_runs import tracked_run

    experiment_id = open_store(plan.task.name)
    state = _read_state(folder / _MARKER)
    study = open_study(plan, storage)
    with tracked_run(experiment_id, folder, state["mlflow_run_id"]) as tracker:
        write_json(folder / _MARKER, {**state, "mlflow_run_id": tracker.run_id})
        tracker.tags({"task": plan.task.name, "sweep": "search" if plan.space else "grid"})
        tracker.file(path, "config")
        with storage_errors(storage):
            children = train_children(plan, study, folder, state["worker"], tracker.run_id)
        _report(plan, children, folder, tracker)


def _read_state(path: Path) -> dict[str, Any]:
    """Return worker and MLflow run of the folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        worker, run_id = str(content["worker"]), content["mlflow_run_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or give another --output_dir") from error
    return {"worker": worker, "mlflow_run_id": run_id}


def _report(plan: Sweep, children: "Sequence[Child]", folder: Path, tracker: "Tracker") -> None:
    """Print, write and track the table, and the best flags by their mean over seeds.

    Raises:
        UserError: no child, or not every one of a grid, was trained to its end.
    """
    metric, sign = plan.task.primary_metric, -1 if plan.task.greater_is_better else 1
    ranked = sorted(children, key=lambda child: (child.value is None, sign * (child.value or 0)))
    rows = [{"run": c.name, **c.flags, metric: c.value, "state": c.state} for c in ranked]
    write_csv(folder / "sweep.csv", rows)
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "sweep.json")
    print(f"\n{format_table(rows)}\nwritten: {folder / 'sweep.csv'}", flush=True)
    failed = [child for child in ranked if child.state.startswith("failed")]
    groups: dict[str, dict[str, float]] = {}  # flags without seeds -> child -> value
    for child in ranked:
        if child.value is not None:
            groups.setdefault(shlex.join(tokens_of(without_seeds(child.flags))), {})[child.name] = child.value
    means = {text: mean_interval(list(values.values())) for text, values in groups.items()}
    if means:
        best = min(means, key=lambda text: sign * means[text]["mean"])
        name = next(iter(groups[best]))
        flags = without_seeds(next(child.flags for child in children if child.name == name))
        tracker.tags({"best_run": name} if len(groups[best]) == 1 and flags else {})
        tracker.params({f"best.{name}": value for name, value in flags.items()})
        tracker.metrics({f"best/{metric}": means[best]["mean"]}, step=len(ranked) - len(failed))
        print(f"{f'best: {best}, ' if flags else ''}{metric} {say_interval(means[best])}", flush=True)
    if failed and (plan.grid or not means):
        raise UserError(f"{len(failed)} of {len(ranked)} runs failed, e.g. {failed[0].name}; its own words stand above")
