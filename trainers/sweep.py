"""Train every combination of a grid, or let Optuna search: each child an ordinary run, all below one MLflow record.

    python -m trainers.sweep --study location_sweep
    python -m trainers.sweep --study location_search --storage postgresql://user:password@host/optuna

A study is a YAML file below configs/studies/: a config, common flags, and a grid or a space to search. The same command
goes on where it was interrupted: finished runs are not trained again. Several machines that are given one --storage
work on one search; on one machine, each with an --output_dir of its own.
"""

import json
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import environment
from trainers.errors import UserError, exit_code_of
from trainers.options import option

if TYPE_CHECKING:
    from trainers.sweep_children import Child
    from trainers.sweep_plan import Sweep
    from trainers.tracking import Tracker

_MARKER = "sweep.json"


@dataclass
class SweepOptions:
    """Which sweep, and where."""

    study: str = option("location_sweep", "a YAML file, or its name below configs/studies/")
    storage: str | None = option(None, "database of a search, e.g. postgresql://…; default: a file in the folder")
    output_dir: str | None = option(None, "folder of the sweep; default: <EXP_DIR_PREFIX>/sweeps/<study>")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 2 something for the user to mend, 130 interrupted."""
    try:
        return exit_code_of(lambda: _sweep(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr, flush=True)
        return 130


def _sweep(argv: list[str]) -> None:
    environment.set_up()
    from trainers import folders, studies, usage

    given = usage.read_or_help(argv, __doc__, SweepOptions)
    if given is None:
        return
    from trainers.sweep_plan import read_sweep

    path = studies.study_path(given.study)
    sweep = read_sweep(path)
    if sweep.grid and given.storage:
        raise UserError(f"--storage is for a search, and {path} is a grid; leave it out")
    default = environment.resolved_prefix() / "sweeps" / sweep.name
    folder = folders.own_folder(Path(given.output_dir or default), _MARKER)
    with folders.held(folder):
        folder.mkdir(exist_ok=True)
        _run(sweep, path, folder, given.storage or f"sqlite:///{folder / 'optuna.db'}")


def _run(sweep: "Sweep", path: Path, folder: Path, storage: str) -> None:
    """Train the children below one record, which is continued when the sweep is."""
    from trainers import guards
    from trainers.store import open_store, tracked_run
    from trainers.sweep_children import open_study, ranked, storage_errors, train_grid, train_search

    experiment_id = open_store(sweep.task.name)
    state = _state(folder)
    guards.write_json(folder / _MARKER, state)  # before anything else is there
    study = open_study(sweep, storage) if sweep.space else None
    with tracked_run(experiment_id, folder, state["mlflow_run_id"]) as tracker:
        guards.write_json(folder / _MARKER, {**state, "mlflow_run_id": tracker.run_id})
        tracker.tags({"task": sweep.task.name, "sweep": "search" if sweep.space else "grid"})
        tracker.file(path, "config")
        if study is None:
            children = train_grid(sweep, folder, str(tracker.run_id))
        else:
            with storage_errors(storage):
                children = train_search(sweep, study, folder, state["worker"], str(tracker.run_id))
        _report(sweep, ranked(children, sweep.task.greater_is_better), folder, tracker)


def _state(folder: Path) -> dict[str, Any]:
    """What the folder remembers: whose trials are its own, and the record, unless it has been deleted since."""
    from mlflow import MlflowClient, MlflowException

    path = folder / _MARKER
    if not path.is_file():
        return {"worker": secrets.token_hex(8), "mlflow_run_id": None}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        found = {"worker": str(state["worker"]), "mlflow_run_id": state["mlflow_run_id"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it, and the sweep goes on with a new record") from error
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
    from trainers import guards, tables
    from trainers.studies import tokens_of

    metric = sweep.task.primary_metric
    rows = [{"run": c.name, **c.flags, metric: c.value, "state": c.state} for c in children]
    guards.write_csv(folder / "sweep.csv", rows)
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "sweep.json")
    print(f"\n{tables.aligned(rows)}\nwritten: {folder / 'sweep.csv'}", flush=True)
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


if __name__ == "__main__":
    sys.exit(main())
