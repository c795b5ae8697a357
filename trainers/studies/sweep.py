"""Run a sweep: train its children below one MLflow run, and report them."""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment
from trainers.common.files import write_csv
from trainers.common.intervals import (
    interval_cell,
    interval_columns,
    interval_of,
    mean_interval,
    paired_interval,
    say_interval,
    seeds_note,
)
from trainers.common.seeds import seeds_of, without_seeds
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.command_folder import hold_folder
from trainers.studies.child_processes import ChildOptions
from trainers.studies.parent import parent_run, read_marker
from trainers.studies.study_file import study_path, tokens_of
from trainers.studies.sweep_plan import Sweep, read_sweep
from trainers.tracking.mlflow_store import sqlite_uri

if TYPE_CHECKING:
    from trainers.studies.sweep_runs import Child
    from trainers.tracking.tracker import Tracker

_MARKER = "sweep.json"


def sweep(study: str, storage: str | None, output_dir: str | None, options: ChildOptions) -> None:
    """Run the sweep in a file of configs/studies/, or continue it.

    Raises:
        UserError: it is no sweep, or the folder or the storage cannot be used.
    """
    path = study_path(study, sweeps=True)
    plan = read_sweep(path, seeds_of(options.seeds) if options.seeds else [])
    if plan.grid and storage:
        raise UserError(f"--storage is for a search, and {path} is a grid; leave it out")
    default = environment.resolved_prefix() / "sweeps" / plan.name
    # Which sweep it is, whose trials are its own, and its MLflow run once there is one.
    state = {"sweep": plan.name, "worker": secrets.token_hex(8), "mlflow_run_id": None}
    with hold_folder(Path(output_dir or default), _MARKER, state) as folder:
        if (there := read_marker(folder / _MARKER).get("sweep", plan.name)) != plan.name:
            raise UserError(
                f"--output_dir {folder} has the sweep {there}, and this one is {plan.name}, whose table would replace"
                " that one's; give another --output_dir, or leave it out"
            )
        _run(plan, path, folder, storage or sqlite_uri(folder / "optuna.db"), options)


def _run(plan: Sweep, path: Path, folder: Path, storage: str, options: ChildOptions) -> None:
    from trainers.studies.sweep_runs import train_children
    from trainers.studies.sweep_trials import open_study, storage_errors

    worker = read_marker(folder / _MARKER).get("worker", "")
    study = open_study(plan, storage)
    with parent_run(folder, _MARKER, plan.task.name) as tracker:
        tracker.tags({"task": plan.task.name, "sweep": "search" if plan.space else "grid"})
        tracker.file(path, "config")
        with storage_errors(storage):
            children = train_children(plan, study, folder, worker, tracker.run_id, options)
        _report(plan, children, folder, tracker, options.stop_on_failure)


def _report(plan: Sweep, children: "Sequence[Child]", folder: Path, tracker: "Tracker", stops_on_failure: bool) -> None:
    """Print, write and track the table, and the best flags by their mean over seeds.

    Raises:
        UserError: no child, or not every one of a grid, was trained to its end; or one failed and stopped the others.
    """
    metric, sign = plan.task.primary_metric, -1 if plan.task.greater_is_better else 1
    ranked = sorted(children, key=lambda child: (child.value is None, sign * (child.value or 0)))
    _report_children(plan, ranked, folder, tracker)
    failed = [child for child in ranked if child.state.startswith("failed")]
    groups: dict[str, list[Child]] = {}  # flags without seeds -> children
    for child in ranked:
        if child.value is not None:
            groups.setdefault(shlex.join(tokens_of(without_seeds(child.flags))), []).append(child)
    values = {
        text: {seed: value for child in of for seed, value in child.values.items()} for text, of in groups.items()
    }
    means = {text: mean_interval([*of_seeds.values()]) for text, of_seeds in values.items()}
    if means:
        best = min(means, key=lambda text: sign * means[text]["mean"])
        _report_means(values, means, best, folder, tracker)
        flags = without_seeds(groups[best][0].flags)
        is_run = len(groups[best]) == 1 and flags and not plan.seeds  # not a mean over seeds
        tracker.tags({"best_run": groups[best][0].name} if is_run else {})
        tracker.params({f"best.{name}": value for name, value in flags.items()})
        tracker.metrics({f"best/{metric}": means[best]["mean"]}, step=len(ranked) - len(failed))
        print(f"{f'best: {best}, ' if flags else ''}{metric} {say_interval(means[best])}", flush=True)
    n_left = len(plan.grid) - len(ranked)
    if failed and (plan.grid or stops_on_failure or not means):
        left = f", and {n_left} were not started" if n_left > 0 else ""
        raise UserError(
            f"{len(failed)} of {len(ranked)} runs failed, e.g. {failed[0].name}{left}; its own words stand above"
        )


def _report_children(plan: Sweep, ranked: "Sequence[Child]", folder: Path, tracker: "Tracker") -> None:
    """Print, write and track the primary metric of every child: of a draw with several seeds mean and interval."""
    metric = plan.task.primary_metric
    stated = {child.name: mean_interval([*child.values.values()]) for child in ranked}
    rows = [
        {
            "run": child.name,
            **child.flags,
            **(interval_columns(metric, stated[child.name]) if plan.seeds else {metric: child.value}),
            "state": child.state,
        }
        for child in ranked
    ]
    write_csv(folder / "sweep.csv", rows)
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "sweep.json")
    if plan.seeds:
        cells = [{"n": of["seeds"], metric: interval_cell(of)} for of in stated.values()]
        rows = [{"run": c.name, **c.flags, **cell, "state": c.state} for c, cell in zip(ranked, cells, strict=True)]
    print(f"\n{format_table(rows)}\nwritten: {folder / 'sweep.csv'}", flush=True)


def _report_means(
    values: Mapping[str, Mapping[str, float]],
    means: Mapping[str, Mapping[str, Any]],
    best: str,
    folder: Path,
    tracker: "Tracker",
) -> None:
    """Print, write and track means over seeds, the best first, with paired differences to it; of one seed nothing."""
    if max(map(len, values.values())) == 1 or len(values) == 1:
        return
    rows = []
    for text in sorted(values, key=lambda text: text != best):
        row = {"flags": text, **interval_columns("mean", means[text])}
        difference = paired_interval(values[text], values[best]) if text != best else {}
        rows.append(row | interval_columns("difference", difference or mean_interval([])))
    write_csv(folder / "means.csv", rows)
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "means.json")
    shown = [
        {
            "flags": row["flags"],
            "n": row["mean_seeds"],
            "mean": interval_cell(interval_of(row, "mean")),
            "minus the best, same seeds": interval_cell(interval_of(row, "difference"), "+.4g"),
        }
        for row in rows
    ]
    print(f"\n{format_table(shown)}\n{seeds_note(row['mean_seeds'] for row in rows)}", flush=True)
