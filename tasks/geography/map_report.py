"""Report `map`: what the runs of a study know of the world, by every view of their task, over their seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common.files import write_csv
from trainers.common.intervals import interval_cell, interval_columns, interval_of, mean_interval, seeds_note
from trainers.common.tables import format_table
from trainers.probes.views import ViewResult, run_view
from trainers.studies.parent import Children, SeedRuns
from trainers.studies.study_file import read_seeded

Found = Mapping[str, Mapping[int, ViewResult]]
"""View -> seed -> what it has found."""


@dataclass
class MapReport:
    """What trained models know of the world, by every view of their task."""

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs, look at the finished ones; write and track the table."""
        runs = children.train_seeds(read_seeded(path), folder)
        rows = [row for name, seeds in runs.items() for row in summary(name, _looked_at(seeds))]
        write_csv(folder / "map.csv", rows)
        children.tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "map.json")
        print(f"\n{table(rows)}\nwritten: {folder / 'map.csv'}; figures are in the runs' folders, probe/<view>/")


def _looked_at(seeds: SeedRuns) -> Found:
    """Look at every run by every view of its task, with the view's own defaults."""
    views = next(iter(seeds.values())).task.views
    found: dict[str, dict[int, ViewResult]] = {view: {} for view in views}
    for seed, run in seeds.items():
        for view in views:
            print(f"\n{run.path.name}, {view}:", flush=True)
            found[view][seed] = run_view(run, view, run.task.load("views", view).options())[1]
    return found


def summary(name: str, found: Found) -> list[dict[str, Any]]:
    """Return one row per metric of every view: mean and 95 % interval over the seeds that have it."""
    rows = []
    for view, results in found.items():
        for metric in dict.fromkeys(metric for result in results.values() for metric in result.metrics):
            values = [result.metrics[metric] for result in results.values() if metric in result.metrics]
            row = {"run": name, "view": view, "metric": metric}
            rows.append(row | interval_columns("value", mean_interval(values)))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text, and whether a value is of one seed."""
    shown = [
        {**{name: row[name] for name in ("run", "view", "metric")}, "n": row["value_seeds"], "value": _cell(row)}
        for row in rows
    ]
    return f"{format_table(shown)}\n{seeds_note(row['value_seeds'] for row in rows)}"


def _cell(row: Mapping[str, Any]) -> str:
    return interval_cell(interval_of(row, "value"))
