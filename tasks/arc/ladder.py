"""Report `ladder`: exact match of every model of a study over its seeds, as table and figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.metric_names import FINAL, MetricName, baseline
from trainers.common.tables import format_table
from trainers.studies.child_runs import seeds_note, train_all
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
BASELINES = ("copy", "common", "repeat")


@dataclass
class Ladder:
    """Exact match of every model of the study, mean over its seeds."""

    def run(self, path: Path, folder: Path) -> None:
        """Train unfinished runs; write table and figure."""
        runs = train_all(read_seeded(path), folder)
        results = {name: [run.results for run in seeds] for name, seeds in runs.items()}
        rows = summary(results)
        write_csv(folder / "ladder.csv", rows)
        figures.save_figure(_figure(results, rows), folder / "ladder.png")
        print(f"\n{table(rows)}\nwritten: {folder / 'ladder.csv'}, ladder.png")


def summary(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return one row per model: mean over seeds of every measure, and spread (half of largest minus smallest).

    The trivial baselines follow as rows of their own: they are the same for every run on the same dataset.
    """
    rows: list[dict[str, Any]] = []
    for model, of_seeds in results.items():
        row: dict[str, Any] = {"model": model, "seeds": len(of_seeds)}
        for measure in (name.logged for name in MEASURES):
            values = [float(result[measure]) for result in of_seeds if measure in result]
            row[measure] = fmean(values) if values else None
            row[f"{measure}_spread"] = (max(values) - min(values)) / 2 if values else None
        rows.append(row)
    first = next(iter(results.values()))[0]
    for guess in BASELINES:
        values = {
            name.logged: first.get(name._replace(metric=baseline(guess, name.metric)).logged) for name in MEASURES
        }
        spreads = {f"{measure}_spread": None for measure in values}
        rows.append({"model": f"baseline {guess}", "seeds": None, **values, **spreads})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as text, in per cent."""
    labels = {name.logged: label for name, label in MEASURES.items()}
    shares = [{label: _percent(row[n], row[f"{n}_spread"]) for n, label in labels.items()} for row in rows]
    shown = format_table([{"model": row["model"], **cells} for row, cells in zip(rows, shares, strict=True)])
    return f"{shown}\n{seeds_note(rows[0]['seeds'])}"


def _percent(value: float | None, spread: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" + (f" ± {100 * spread:.1f}" if spread else "")


def _figure(results: Mapping[str, Sequence[Mapping[str, Any]]], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the exact match of every model, a dot for each seed, on held-out pairs and on unseen tasks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7.0, 1.6 * len(results) + 3), 4), dpi=110, layout="constrained")
    shown = [name for name in MEASURES if name.metric == "exact_match"]
    for axes, name in zip(figure.subplots(1, 2), shown, strict=True):
        measure = name.logged
        by_model = {row["model"]: row[measure] or 0.0 for row in rows}
        axes.bar(list(results), [by_model[model] for model in results], color="#2b6cb0", alpha=0.8)
        for place, of_seeds in enumerate(results.values()):
            values = [result.get(measure, 0.0) for result in of_seeds]
            axes.plot([place] * len(values), values, "o", color="#1a365d", ms=4)
        trivial = max(by_model["baseline copy"], by_model["baseline common"])
        axes.axhline(trivial, color="#c53030", ls=":", label=f"best trivial baseline ({trivial:.1%})")
        axes.set(ylabel="generated exact match", title=MEASURES[name])
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", rotation=20)
        axes.legend(frameon=False)
    return figure
