"""State what a sweep has found: rows for blocks and tokens, and for continents; metrics with intervals; words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geo.sphere import unit_vectors
from tasks.geography.linear_maps import (
    errors_km,
    linear_vectors,
    r2,
    stated_difference,
    stated_errors,
    unexplained,
)
from trainers.common.intervals import interval_of_mean
from trainers.common.tables import format_number

Cell = tuple[int, int]
"""A block (0: the embedding) and the place of a token among those that are read."""
_KINDS = {
    "": "chosen on {n_choose:.0f} cities: {where}",
    "last_token": "last but one block, end of the prompt",
    "kernel": "kernel ridge where it was chosen",
    "shuffled": "shuffled places where it was chosen",
    "untrained": "untrained model where it is best",
    "baseline": "mean place",
}


@dataclass(frozen=True)
class SweptCities:
    """The cities of a sweep: places (N, 2) in degrees, continents (N,), and the rows by use."""

    places_deg: np.ndarray
    continents: np.ndarray
    train: np.ndarray
    choose: np.ndarray
    report: np.ndarray


@dataclass(frozen=True)
class Swept:
    """Linear maps by name: `trained`, `shuffled` and perhaps `untrained`."""

    fits: Mapping[str, Mapping[Cell, np.ndarray]]
    """Name -> block and token -> the unit vectors that are predicted, (N, 3)."""
    places: Mapping[str, np.ndarray]
    """Name -> the places that they are fitted to, (N, 2)."""
    chosen: Mapping[str, Cell]
    """Name -> the block and token of the least error on the cities that choose."""


def cell_rows(swept: Swept, cities: SweptCities, tokens: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each block and token: error and R² on the half that chooses and on the one that is reported."""
    rows = []
    for block, token in swept.fits["trained"]:
        row: dict[str, Any] = {"block": block, "token": tokens[token]}
        for name, fits in swept.fits.items():
            for half, those in (("choose", cities.choose), ("report", cities.report)):
                vectors_N3, deg_N2 = fits[block, token][those], swept.places[name][those]
                row[f"{name}_{half}_km"] = float(errors_km(vectors_N3, deg_N2).mean())
                row[f"{name}_{half}_r2"] = r2(vectors_N3, deg_N2)
        rows.append(row | {"selectivity": row["trained_report_r2"] - row["shuffled_report_r2"]})
    return rows


def continent_rows(features_NF: np.ndarray, swept: Swept, cities: SweptCities) -> list[dict[str, Any]]:
    """Return a row for each continent: error on its reported cities by a fit that saw its others, and one that did not.

    None where no city of it is reported, or no other city is left to fit.
    """
    rows = []
    for name in sorted(set(cities.continents.tolist())):
        report = cities.report[cities.continents[cities.report] == name]
        kept = cities.train[cities.continents[cities.train] != name]
        row: dict[str, Any] = {"continent": name, "n": len(report), "n_left_out": len(cities.train) - len(kept)}
        is_possible = len(report) > 0 and len(kept) > 1
        vectors_N3 = swept.fits["trained"][swept.chosen["trained"]]
        row |= _errors("seen", vectors_N3[report], cities.places_deg[report], is_possible)
        if is_possible:
            vectors_N3 = linear_vectors(features_NF, cities.places_deg, kept)
        rows.append(row | _errors("held_out", vectors_N3[report], cities.places_deg[report], is_possible))
    return rows


def _errors(kind: str, vectors_N3: np.ndarray, places_deg: np.ndarray, is_possible: bool) -> dict[str, Any]:
    error_km = errors_km(vectors_N3, places_deg)
    low, high = (interval_of_mean(error_km) if is_possible else None) or (None, None)
    mean = float(error_km.mean()) if is_possible else None
    return {f"{kind}_km": mean, f"{kind}_km_from": low, f"{kind}_km_to": high}


def as_metrics(
    swept: Swept,
    cities: SweptCities,
    kernel_N3: np.ndarray,
    continents: Sequence[Mapping[str, Any]],
    n_tokens: int,
) -> dict[str, float]:
    """Return the metrics on the reported cities, with their intervals, controls and numbers of cities.

    `token` is counted from the end of the prompt, which is -1.
    """
    trained, report, deg_N2 = swept.fits["trained"], cities.report, cities.places_deg
    (block, token), last = swept.chosen["trained"], max(block for block, _ in trained)
    mean_N3 = unit_vectors(*deg_N2[cities.train].T).mean(axis=0)
    found = {"n_train": len(cities.train), "n_choose": len(cities.choose), "n_report": len(report)}
    found |= {"block": block, "token": token - n_tokens}
    found |= stated_errors("", trained[block, token][report], deg_N2[report])
    found |= stated_errors("baseline", np.tile(mean_N3, (len(report), 1)), deg_N2[report])
    found |= stated_errors("last_token", trained[max(1, last - 1), n_tokens - 1][report], deg_N2[report])
    found |= stated_errors("kernel", kernel_N3[report], deg_N2[report])
    shuffled_N3, shuffled_deg = swept.fits["shuffled"][block, token][report], swept.places["shuffled"][report]
    found |= stated_errors("shuffled", shuffled_N3, shuffled_deg)
    if "untrained" in swept.fits:
        found |= stated_errors("untrained", swept.fits["untrained"][swept.chosen["untrained"]][report], deg_N2[report])
    own = unexplained(trained[block, token][report], deg_N2[report])
    found |= stated_difference("selectivity", unexplained(shuffled_N3, shuffled_deg), own)
    ones = np.ones(len(report))
    linear, kernel = (
        (errors_km(vectors_N3[report], deg_N2[report]), ones) for vectors_N3 in (trained[block, token], kernel_N3)
    )
    found |= stated_difference("kernel_minus_linear_km", kernel, linear)
    return {name: float(value) for name, value in (found | _by_continent(continents)).items()}


def _by_continent(continents: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the rows as metrics `held_out_km_Asia`, `held_out_km_Asia_from`…, without what there is none of."""
    found = {}
    for row in continents:
        name = row["continent"].replace(" ", "_")
        found |= {f"n_report_{name}": row["n"], f"n_train_{name}": row["n_left_out"]}
        for kind in ("seen_km", "held_out_km"):
            found |= {f"{kind}_{name}{end}": row[f"{kind}{end}"] for end in ("", "_from", "_to")}
    return {name: value for name, value in found.items() if value is not None}


def as_lines(metrics: Mapping[str, float], where: str, continents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what was found."""

    def said(name: str) -> str:
        ends = [format_number(metrics[f"{name}_{end}"]) for end in ("from", "to") if f"{name}_{end}" in metrics]
        number = format_number(metrics[name]) if name in metrics else "-"
        return f"{number} [{', '.join(ends)}]" if ends else number

    lines = ["linear maps from {n_train:.0f} cities, on {n_report:.0f} others; mean [95 %]:".format(**metrics)]
    for kind, text in _KINDS.items():
        prefix = f"{kind}_" if kind else ""
        if f"{prefix}r2" in metrics:
            error = f"{said(f'{prefix}error_km_mean')} km, R² {said(f'{prefix}r2')}"
            lines.append(f"  {text.format(where=where, **metrics)}: {error}")
    lines.append(f"  selectivity {said('selectivity')}; kernel minus linear {said('kernel_minus_linear_km')} km")
    for row in continents:
        name = row["continent"].replace(" ", "_")
        held_out, seen = said(f"held_out_km_{name}"), said(f"seen_km_{name}")
        lines.append(f"  {row['continent']} held out: {held_out} km, seen: {seen} km (n = {row['n']})")
    return lines
