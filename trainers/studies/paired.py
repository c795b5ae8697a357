"""Compare two models example by example, from their kept predictions."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers import registry
from trainers.common import environment
from trainers.common.files import write_csv
from trainers.common.intervals import interval_of_difference
from trainers.common.tables import format_number, format_table
from trainers.contract import Task
from trainers.errors import UserError, suggest
from trainers.folders.command_folder import hold_folder
from trainers.folders.predictions import SUFFIX, PredictionsFile, weight_of

_PLACE = "which of equal ones"
_SHOWN = 5
_CELL = 40


@dataclass(frozen=True)
class Paired:
    """Two models on the same examples.

    Attributes:
        rows: The examples that both have, with `_1` and `_2` behind the columns that are not keys.
        means: The metric of both, on these examples.
        interval: 95 % interval of the second less the first; None where fewer than two examples can differ.
        only: Number of examples that just the first, and just the second has.
    """

    rows: Any  # a DataFrame
    means: tuple[float, float]
    interval: tuple[float, float] | None
    only: tuple[int, int]


def compare_paired(first: str, second: str, metric: str | None, output_dir: str | None) -> None:
    """Print the paired difference of a metric, and write the examples in which two models differ.

    Raises:
        UserError: these are not predictions of one task, or they share no example or metric.
    """
    task = registry.load(PredictionsFile(_candidates(first)[0]).facts["task"])
    name = metric or task.primary_metric
    files = _predictions(first, name), _predictions(second, name)
    found = pair(*files, name)
    key = hashlib.sha256(repr((*(str(file.path) for file in files), name)).encode()).hexdigest()[:8]
    path = Path(output_dir or environment.resolved_prefix() / "compare" / f"paired-{key}")
    with hold_folder(path, "paired.json", {"files": [str(file.path) for file in files], "metric": name}) as folder:
        changed = changed_rows(found, name)
        (folder / "changed.csv").unlink(missing_ok=True)  # of an earlier start
        if len(changed):
            write_csv(folder / "changed.csv", changed.to_dict("records"))
        print(_text(found, changed, name, task))
        print(f"written: {folder / 'changed.csv'}" if len(changed) else "no example is scored otherwise")


def pair(first: PredictionsFile, second: PredictionsFile, metric: str) -> Paired:
    """Join two files by their keys; equal keys in their order.

    Raises:
        UserError: they are of different tasks or tables, or no example is in both.
    """
    keys = first.facts["keys"]
    if (first.facts["task"], keys) != (second.facts["task"], second.facts["keys"]):
        raise UserError(
            f"{first.path} has predictions of {first.facts['task']} by {', '.join(keys)}, {second.path} of"
            f" {second.facts['task']} by {', '.join(second.facts['keys'])}; give two of one task and table"
        )
    rows = _numbered(first, keys).merge(_numbered(second, keys), on=[*keys, _PLACE], suffixes=("_1", "_2"))
    if rows.empty:
        raise UserError(f"{first.path} and {second.path} share no example; evaluate both on one dataset and split")
    values = [rows[f"{metric}_{n}"].to_numpy(float) for n in (1, 2)]
    name = weight_of(metric)
    weights = [rows[f"{name}_{n}"].to_numpy(float) if f"{name}_{n}" in rows else np.ones(len(rows)) for n in (1, 2)]
    group = first.facts["group"]
    groups = rows[group if group in keys else f"{group}_1"].to_numpy() if group else None
    first_mean, second_mean = (float(np.average(v, weights=w)) for v, w in zip(values, weights, strict=True))
    interval = interval_of_difference((values[1], weights[1]), (values[0], weights[0]), groups)
    return Paired(
        rows, (first_mean, second_mean), interval, (len(first.frame) - len(rows), len(second.frame) - len(rows))
    )


def changed_rows(found: Paired, metric: str) -> Any:
    """Return the examples that are scored differently, the largest change first."""
    change = (found.rows[f"{metric}_2"].astype(float) - found.rows[f"{metric}_1"].astype(float)).rename("change")
    rows = found.rows.assign(change=change)[change != 0]
    order = rows["change"].abs().sort_values(ascending=False, kind="stable").index
    ends = ("_1", "_2")
    shown = [n for n in rows if n == "change" or n.startswith(("predicted_", metric)) or not n.endswith(ends)]
    return rows.loc[order, [name for name in shown if name != _PLACE]]


def _numbered(file: PredictionsFile, keys: list[str]) -> Any:
    """Return the rows with keys that can be compared (a grid as text), and a number for those of equal keys."""
    frame = file.frame.copy()
    for key in keys:
        if frame[key].dtype == object:
            frame[key] = frame[key].map(_as_text)
    return frame.assign(**{_PLACE: frame.groupby(keys).cumcount()})


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "/".join("".join(map(str, line)) for line in value)


def _candidates(given: str) -> list[Path]:
    """Return the predictions files that a path means: itself, or those in a folder (of a run: of its last evaluation).

    Raises:
        UserError: there are none.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return [path]
    found = sorted([*path.glob(f"*{SUFFIX}"), *(path / "predictions").glob(f"*{SUFFIX}")])
    if not found:
        raise UserError(f"{given} has no predictions; give a {SUFFIX} file, an evaluation's folder or a run's")
    return found


def _predictions(given: str, metric: str) -> PredictionsFile:
    files = [PredictionsFile(path) for path in _candidates(given)]
    own = [file for file in files if metric in file.facts["scores"]]
    if len(own) == 1:
        return own[0]
    if own:
        raise UserError(
            f"{given} has several such predictions; give one of {', '.join(str(file.path) for file in own)}"
        )
    known = sorted({name for file in files for name in file.facts["scores"]})
    raise UserError(
        f"--metric {metric} is no mean over the examples of {given}, which has {', '.join(known)}."
        f"{suggest(metric, known)}"
    )


def _text(found: Paired, changed: Any, metric: str, task: Task) -> str:
    sign = 1 if task.greater_is_better or metric != task.primary_metric else -1
    better, n = int((sign * changed["change"] > 0).sum()), len(found.rows)
    first, second = map(format_number, found.means)
    low, high = map(format_number, found.interval or (float("nan"),) * 2)
    words = ("rose", "fell") if metric != task.primary_metric else ("better", "worse")
    lines = [
        f"{metric} on {n:,} examples: {first} -> {second}, difference"
        f" {format_number(found.means[1] - found.means[0])} (95 % {low} to {high})",
        f"{better:,} {words[0]}, {len(changed) - better:,} {words[1]}, {n - len(changed):,} equal",
    ]
    if any(found.only):
        lines.append(f"left out: {found.only[0]:,} examples that only the first has, {found.only[1]:,} only the second")
    if len(changed):
        rows = changed.head(_SHOWN).to_dict("records")
        lines.append(format_table([{str(name): _short(value) for name, value in row.items()} for row in rows]))
    return "\n".join(lines)


def _short(value: object) -> object:
    text = value if isinstance(value, (int, float)) else str(value)
    return f"{text[: _CELL - 1]}…" if isinstance(text, str) and len(text) > _CELL else text
