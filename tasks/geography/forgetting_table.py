"""Table and figure of a forgetting study: before, after, what was recovered, means over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from trainers.common.figures import draw_seeds
from trainers.common.intervals import (
    interval_cell,
    interval_columns,
    interval_of,
    mean_interval,
    paired_interval,
    say_difference,
    seeds_note,
)
from trainers.common.tables import format_markdown

_DECODED = "error_km_mean_Atlantis"  # of the probe of real cities, which has seen no invented one
_COMPARED = {
    "probe_km_after": "probe error (km)",
    "real_km_after": "real pairs (km)",
    "atlantis_km_after": "Atlantis pairs (km)",
}


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


def table(courses: Mapping[str, FineTuneCurve], reference: str) -> list[dict[str, Any]]:
    """Return one row per run: before (the base model), after (its last checkpoint), the shares of the falls recovered.

    The error on Atlantis pairs is that of the run's validation pairs before, and of its test pairs after.

    A fall is the rise of an error, the probe's or that on real pairs, from the base to the end of the reference run; a
    run that ends where the base was has recovered all of it, 1.0, one that ends where the reference ended 0.0.
    """
    compared = courses.get(reference)  # none where its run failed with this seed
    probe_km = [probe["error_km_mean"] for probe in compared.probe] if compared else []
    real_km = compared.real_km if compared else []
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
    rise_km = reference_km[-1] - reference_km[0] if reference_km else 0.0
    return (reference_km[-1] - after_km) / rise_km if rise_km > 0 else float("nan")


def means(rows_of_seeds: Mapping[Any, Sequence[Mapping[str, Any]]], reference: str) -> list[dict[str, Any]]:
    """Return one row per run from the tables of several seeds: means with 95 % intervals, differences to the reference.

    A difference is of runs with the same seed.
    """
    runs: dict[str, dict[Any, Mapping[str, Any]]] = {}
    for seed, rows in rows_of_seeds.items():
        for row in rows:
            runs.setdefault(row["run"], {})[seed] = row
    found = []
    for name, of_seeds in runs.items():
        mean: dict[str, Any] = {"run": name, "seeds": len(of_seeds)}
        for column in [column for column in next(iter(of_seeds.values())) if column != "run"]:
            mean |= interval_columns(column, mean_interval(list(_of_seeds(of_seeds, column).values())))
        for column in _COMPARED:
            own, others = (_of_seeds(of, column) for of in (of_seeds, runs[reference]))
            difference = mean_interval([]) if name == reference else paired_interval(own, others)
            mean |= interval_columns(f"{column}_difference", difference)
        found.append(mean)
    return found


def _of_seeds(rows: Mapping[Any, Mapping[str, Any]], column: str) -> dict[Any, float]:
    return {seed: row[column] for seed, row in rows.items() if not np.isnan(row[column])}


def as_markdown(rows: Sequence[Mapping[str, Any]], reference: str = "") -> str:
    """Write a table in Markdown, for people: of one seed, or of `means`, then with differences to the reference."""
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
        seeds = {"n": str(row["seeds"])} if "seeds" in row else {}
        pairs = {name: f"{_cell(row, b, form)} → {_cell(row, a, form)}" for name, (b, a, form) in arrows.items()}
        recovered = {name: _cell(row, column, ".0%") for name, column in shares.items()}
        shown.append(
            {"run": row["run"], **seeds, **pairs, "CKA to base": _cell(row, "cka_to_base", ".3f"), **recovered}
        )
    return "\n".join([format_markdown(shown), *_notes(rows, reference)]) + "\n"


def _notes(rows: Sequence[Mapping[str, Any]], reference: str) -> list[str]:
    """Return what stands below a table of means, each line a paragraph of its own."""
    if "seeds" not in rows[0]:
        return []
    lines = [seeds_note(row["seeds"] for row in rows)]
    for column, label in _COMPARED.items():
        for row in rows:
            difference = interval_of(row, f"{column}_difference")
            if difference["95 % from"] is not None:
                lines.append(say_difference(f"{label}, after", row["run"], reference, difference, "+,.0f"))
    return [f"\n{line}" for line in lines]


def _cell(row: Mapping[str, Any], column: str, form: str) -> str:
    if f"{column}_seeds" in row:
        return interval_cell(interval_of(row, column), form)
    return "-" if np.isnan(row[column]) else f"{row[column]:{form}}"


def forgetting_figure(courses: Mapping[str, Sequence[FineTuneCurve]]) -> Figure:
    """Draw probe error, error on real pairs and error on Atlantis pairs over steps, of every run with all its seeds."""
    figure = Figure(figsize=(15, 4.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    for number, (name, of_seeds) in enumerate(courses.items()):
        style = {"marker": "o", "ms": 3, "lw": 1.2, "color": f"C{number}", "label": name}
        # Which checkpoints are kept depends on the best one, so on the seed.
        steps = sorted(set.intersection(*(set(course.steps) for course in of_seeds)))
        for axes, values in zip(panels, zip(*map(_drawn, of_seeds), strict=True), strict=True):
            draw_seeds(axes, steps, [[curve[step] for step in steps] for curve in values], **style)
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
    firsts = [course.probe[0]["error_km_mean"] for course in next(iter(courses.values()))]
    panels[0].axhline(float(np.mean(firsts)), color="#718096", ls="--", lw=0.8)
    panels[0].legend(frameon=False)
    return figure


def _drawn(course: FineTuneCurve) -> list[dict[int, float]]:
    """Return what the three panels show of one run, step -> km."""
    probe_km = [probe["error_km_mean"] for probe in course.probe]
    return [dict(zip(course.steps, km, strict=True)) for km in (probe_km, course.real_km, course.atlantis_km)]
