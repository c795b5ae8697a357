"""Measure the runs of a forgetting study, checkpoint by checkpoint, and write its table and figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from tasks.geography.city_probe import ORIGINAL_BLOCKS, CityProbeOptions
from tasks.geography.pair_answers import parse_km
from tasks.geography.pair_metric import absolute_errors_km
from tasks.geography.pairs import distances_km
from trainers.common import figures
from trainers.common.files import write_csv, write_text
from trainers.common.metric_names import EVAL, FINAL, MetricName
from trainers.common.tables import format_markdown
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.folders.checkpoints import read_state
from trainers.folders.run_folder import RunFolder
from trainers.probes.checkpoints import load_checkpoint, probe_run
from trainers.text import TextRows, answers_to
from trainers.tracking.mlflow_runs import tracked_run
from trainers.tracking.mlflow_store import open_store

_DECODED = "error_km_mean_Atlantis"  # of the probe of real cities, which has seen no invented one
TESTED = MetricName(FINAL, "test", "abs_error_km_mean").logged  # in results.json
_OWN = MetricName(EVAL, "validation", "abs_error_km_mean").logged
REAL_PAIRS = 1_000  # the first ones of the base's test split: no run trains on them, and they are the same for all
_BATCH = 512


@dataclass(frozen=True)
class FineTuneCurve:
    """One run over its checkpoints; step 0 is the base model. The lists are equally long.

    Attributes:
        steps: training steps.
        probe: metrics of the clean probe on real cities it has not seen, `cka` to the base among them.
        real_km: mean absolute error on real pairs.
        atlantis_km: mean absolute error on the run's own validation pairs.
        final_km: mean absolute error of the last model on the run's own test pairs.
    """

    steps: list[int]
    probe: list[Mapping[str, float]]
    real_km: list[float]
    atlantis_km: list[float]
    final_km: float


def report(folder: Path, base: RunFolder, runs: Mapping[str, RunFolder], reference: str) -> None:
    """Measure all runs; write `table.csv`, `table.md` and `forgetting.png` into the study's folder and into MLflow.

    The fall of the run named `reference` is what the others are compared with.
    """
    _probe_base(base)
    courses = {name: _curve_of(run, base) for name, run in runs.items()}
    rows = table(courses, reference)
    markdown = as_markdown(rows)
    print(f"\n{markdown}")
    write_text(folder / "table.md", markdown)
    write_csv(folder / "table.csv", rows)
    figures.save_figure(forgetting_figure(courses), folder / "forgetting.png")
    with tracked_run(open_store("forgetting"), folder, None) as tracker:
        tracker.tags({"base": base.path, "base_run_id": base.run_id})
        tracker.tags({f"run.{name}": run.run_id for name, run in runs.items()})
        tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "forgetting.json")
        for name, course in courses.items():
            for step, km, probe in zip(course.steps, course.real_km, course.probe, strict=True):
                tracker.metrics({f"{name}/real_km": km, f"{name}/probe_km": probe["error_km_mean"]}, step)
        for path in (folder / "table.md", folder / "table.csv", folder / "forgetting.png"):
            tracker.file(path)
    print(f"written: {folder / 'table.md'}, {folder / 'forgetting.png'}")


def table(courses: Mapping[str, FineTuneCurve], reference: str) -> list[dict[str, Any]]:
    """Return one row per run: before (the base model), after (its last checkpoint), the shares of the falls recovered.

    The error on Atlantis pairs is that of the run's validation pairs before, and of its test pairs after.

    A fall is the rise of an error, the probe's or that on real pairs, from the base to the end of the reference run; a
    run that ends where the base was has recovered all of it, 1.0, one that ends where the reference ended 0.0.
    """
    probe_km = [probe["error_km_mean"] for probe in courses[reference].probe]
    real_km = courses[reference].real_km
    rows = []
    for name, course in courses.items():
        first, last = course.probe[0], course.probe[-1]
        rows.append(
            {
                "run": name,
                "r2_lon_before": first["r2_lon"],
                "r2_lon_after": last["r2_lon"],
                "r2_lat_before": first["r2_lat"],
                "r2_lat_after": last["r2_lat"],
                "probe_km_before": first["error_km_mean"],
                "probe_km_after": last["error_km_mean"],
                "cka_to_base": last["cka"],
                "atlantis_decoded_km_before": first.get(_DECODED, np.nan),
                "atlantis_decoded_km_after": last.get(_DECODED, np.nan),
                "real_km_before": course.real_km[0],
                "real_km_after": course.real_km[-1],
                "atlantis_km_before": course.atlantis_km[0],
                "atlantis_km_after": course.final_km,
                "fall_recovered": _recovered(last["error_km_mean"], probe_km),
                "real_fall_recovered": _recovered(course.real_km[-1], real_km),
            }
        )
    return rows


def _recovered(after_km: float, reference_km: list[float]) -> float:
    """Return the share of the reference's rise that `after_km` is below its end; NaN if it did not rise."""
    rise_km = reference_km[-1] - reference_km[0]
    return (reference_km[-1] - after_km) / rise_km if rise_km > 0 else float("nan")


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Write the table in Markdown, for people."""
    arrows = {
        "probe R² longitude": ("r2_lon_before", "r2_lon_after", ".3f"),
        "probe R² latitude": ("r2_lat_before", "r2_lat_after", ".3f"),
        "probe error (km)": ("probe_km_before", "probe_km_after", ",.0f"),
        "real pairs (km)": ("real_km_before", "real_km_after", ",.0f"),
        "Atlantis decoded (km)": ("atlantis_decoded_km_before", "atlantis_decoded_km_after", ",.0f"),
        "Atlantis pairs (km)": ("atlantis_km_before", "atlantis_km_after", ",.0f"),
    }
    shares = {"probe's fall recovered": "fall_recovered", "real pairs' fall recovered": "real_fall_recovered"}
    shown = []
    for row in rows:
        pairs = {name: f"{_cell(row[b], form)} → {_cell(row[a], form)}" for name, (b, a, form) in arrows.items()}
        recovered = {name: _cell(row[column], ".0%") for name, column in shares.items()}
        shown.append({"run": row["run"], **pairs, "CKA to base": _cell(row["cka_to_base"], ".3f"), **recovered})
    return format_markdown(shown) + "\n"


def _cell(value: float, form: str) -> str:
    return "-" if np.isnan(value) else f"{value:{form}}"


def forgetting_figure(courses: Mapping[str, FineTuneCurve]) -> Figure:
    """Draw probe error, error on real pairs and error on Atlantis pairs over steps, a line for every run."""
    figure = Figure(figsize=(15, 4.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    for number, (name, course) in enumerate(courses.items()):
        probe_km = [probe["error_km_mean"] for probe in course.probe]
        for axes, values in zip(panels, (probe_km, course.real_km, course.atlantis_km), strict=True):
            axes.plot(course.steps, values, "o-", ms=3, lw=1.2, color=f"C{number}", label=name)
    labels = ("probe error on real cities (km)", "error on real pairs (km)", "error on own Atlantis pairs (km)")
    for axes, label in zip(panels, labels, strict=True):
        axes.set(xlabel="step of the fine-tuning", ylabel=label)
        axes.grid(alpha=0.25, which="both")
    for axes in panels[1:]:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("")
    panels[0].set_ylim(0)
    panels[0].axhline(next(iter(courses.values())).probe[0]["error_km_mean"], color="#718096", ls="--", lw=0.8)
    panels[0].legend(frameon=False)
    return figure


def _probe_base(base: RunFolder) -> None:
    """Probe the base by both protocols, where the model has the blocks that `original` reads."""
    print(f"\n== {base.path.name}: probing", flush=True)
    probe_run(base, CityProbeOptions())
    if load_checkpoint(base.path).config.num_hidden_layers >= ORIGINAL_BLOCKS[-1]:
        probe_run(base, CityProbeOptions(protocol="original"))


def _curve_of(run: RunFolder, base: RunFolder) -> FineTuneCurve:
    """Probe and test every checkpoint of a run."""
    print(f"\n== {run.path.name}: measuring", flush=True)
    _, readings = probe_run(run, CityProbeOptions(), compare=str(base.path))
    real = _real_rows(base)
    real_km = {step: _error_km(path, real) for step, path in run.checkpoints.items()}
    history = read_state(run.checkpoints[max(real_km)])["log_history"]
    own_km = {e["step"]: e[_OWN] for e in history if _OWN in e}
    missing = [step for step in real_km if step not in own_km]
    if missing:
        raise UserError(
            f"{run.path} has a checkpoint at step {missing[0]} that was not evaluated; save only where it is"
        )
    return FineTuneCurve(
        steps=list(real_km),
        probe=[readings[step].metrics for step in real_km],
        real_km=list(real_km.values()),
        atlantis_km=[own_km[step] for step in real_km],
        final_km=run.results[TESTED],
    )


def _real_rows(base: RunFolder) -> TextRows:
    data = dataset_folder.load(base.dataset, "distance")
    if "test" not in data.splits:
        raise UserError(f"{data.path} has no test split to measure forgetting on; train the base with --n_test")
    test = data.splits["test"]
    return TextRows("test", test.select(range(min(REAL_PAIRS, len(test)))))


def _error_km(checkpoint: Path, rows: TextRows) -> float:
    """Return the mean absolute error of a model's generated answers."""
    predicted_km = np.array([parse_km(answer) for answer in answers_to(rows, load_checkpoint(checkpoint), _BATCH)])
    return float(absolute_errors_km(predicted_km, distances_km(rows.table)).mean())
