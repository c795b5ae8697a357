"""Report `ladder`: exact match of every model of a study over its seeds, as table and figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.intervals import (
    interval_cell,
    interval_columns,
    interval_of,
    mean_interval,
    paired_interval,
    say_difference,
    seeds_note,
)
from trainers.common.metric_names import FINAL, MetricName, baseline
from trainers.common.tables import format_table
from trainers.studies.parent import Children
from trainers.studies.study_file import read_seeded

MEASURES = {
    MetricName(FINAL, "test", "exact_match"): "held-out pairs",
    MetricName(FINAL, "test", "pass_at_2"): "held-out pass@2",
    MetricName(FINAL, "test", "cell_accuracy"): "held-out cells",
    MetricName(FINAL, "unseen_tasks", "exact_match"): "unseen tasks",
    MetricName(FINAL, "unseen_tasks", "pass_at_2"): "unseen pass@2",
    MetricName(FINAL, "unseen_tasks", "cell_accuracy"): "unseen cells",
}
"""Columns of the table, from a run's results.json; all are shares."""
BASELINES = ("copy", "common", "patch", "repeat")


@dataclass
class Ladder:
    """Exact match of every model of the study, mean over its seeds."""

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs; write and track table and figure of the finished ones."""
        runs = children.train_seeds(read_seeded(path), folder)
        results = {name: {seed: run.results for seed, run in seeds.items()} for name, seeds in runs.items()}
        rows = summary(results)
        write_csv(folder / "ladder.csv", rows)
        figures.save_figure(_figure(results, rows), folder / "ladder.png")
        children.tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "ladder.json")
        children.tracker.file(folder / "ladder.png")
        print(f"\n{table(rows)}\nwritten: {folder / 'ladder.csv'}, ladder.png")


def summary(results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return one row per model: of every measure mean and 95 % interval over seeds, and its difference to the first.

    A difference is of runs with the same seed. The trivial baselines follow as rows of their own: they are the same for
    every run on the same dataset.
    """
    found = {model: _measured(of_seeds) for model, of_seeds in results.items()}
    first = next(iter(found.values()))
    rows: list[dict[str, Any]] = []
    for model, of_measures in found.items():
        row: dict[str, Any] = {"model": model, "seeds": len(results[model])}
        for measure, values in of_measures.items():
            row |= interval_columns(measure, mean_interval(list(values.values())))
            difference = paired_interval(values, first[measure]) if values is not first[measure] else mean_interval([])
            row |= interval_columns(f"{measure}_difference", difference)
        rows.append(row)
    one = next(result for of_seeds in results.values() for result in of_seeds.values())
    for guess in BASELINES:
        values = {name.logged: one.get(name._replace(metric=baseline(guess, name.metric)).logged) for name in MEASURES}
        rows.append({**dict.fromkeys(rows[0]), "model": f"baseline {guess}", **values})
    return rows


def _measured(of_seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Return measure -> seed -> value."""
    names = [name.logged for name in MEASURES]
    return {name: {seed: float(of[name]) for seed, of in of_seeds.items() if name in of} for name in names}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text, in per cent, and below them the differences to the first model in exact match."""
    shown = []
    for row in rows:
        cells = {label: interval_cell(interval_of(row, name.logged), ".1%") for name, label in MEASURES.items()}
        shown.append({"model": row["model"], "n": row["seeds"], **cells})
    exact = {name: label for name, label in MEASURES.items() if name.metric == "exact_match"}
    differences = [
        say_difference(label, row["model"], rows[0]["model"], difference, "+.1%")
        for name, label in exact.items()
        for row in rows
        if (difference := interval_of(row, f"{name.logged}_difference"))["95 % from"] is not None
    ]
    return "\n".join([format_table(shown), seeds_note(row["seeds"] or 0 for row in rows), *differences])


def _figure(results: Mapping[str, Mapping[int, Mapping[str, Any]]], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw exact match of every model with its interval, a dot for each seed, on held-out pairs and unseen tasks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7.0, 1.6 * len(results) + 3), 4), dpi=110, layout="constrained")
    shown = [name for name in MEASURES if name.metric == "exact_match"]
    for axes, name in zip(figure.subplots(1, 2), shown, strict=True):
        measure = name.logged
        by_model = {row["model"]: row[measure] or 0.0 for row in rows}
        axes.bar(list(results), [by_model[model] for model in results], color="#2b6cb0", alpha=0.8)
        for place, (row, of_seeds) in enumerate(zip(rows, results.values(), strict=False)):
            values = [result.get(measure, 0.0) for result in of_seeds.values()]
            axes.plot([place] * len(values), values, "o", color="#1a365d", ms=4)
            if row[f"{measure}_from"] is not None:
                axes.vlines(place, row[f"{measure}_from"], row[f"{measure}_to"], color="#1a365d", lw=1.5)
        trivial = max(by_model["baseline copy"], by_model["baseline common"])
        axes.axhline(trivial, color="#c53030", ls=":", label=f"best trivial baseline ({trivial:.1%})")
        axes.set(ylabel="generated exact match", title=MEASURES[name])
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", rotation=20)
        axes.legend(frameon=False)
    return figure
