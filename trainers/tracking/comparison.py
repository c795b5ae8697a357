"""Compare tracked runs by a metric: table, differing parameters, curves."""

import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment, figures, tables
from trainers.common.files import write_csv
from trainers.common.metric_names import EVAL, baseline, baselines_of, parse_tracked
from trainers.errors import UserError, suggest
from trainers.folders.command_folder import hold_folder
from trainers.tracking import queries
from trainers.tracking.mlflow_store import FOLDER_TAG

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Run

    from trainers.contract import SummarySpec, Task


@dataclass(frozen=True)
class Measure:
    """The metric to compare by: MLflow's name, direction, and the task's way to draw it, if it is a task's own."""

    name: str
    greater_is_better: bool
    spec: "SummarySpec | None"


@dataclass(frozen=True)
class MetricCurve:
    """A run and its metric, step -> value in rising steps; empty if it has none."""

    run: "Run"
    values: Mapping[int, float]

    def best(self, greater_is_better: bool) -> tuple[int, float] | tuple[None, None]:
        """Return step and value of the best point, the earliest of equal ones."""
        numbers = [(step, value) for step, value in self.values.items() if value == value]  # NaN differs from itself
        choose = max if greater_is_better else min
        return choose(numbers, key=lambda point: point[1], default=(None, None))


def compare(query: str, metric: str | None, greater_is_better: bool | None, limit: int, output_dir: str | None) -> None:
    """Write and print the comparison of the newest runs that match a query.

    Raises:
        UserError: no run matches, they cannot be compared, or the folder is in use for something else.
    """
    # A sweep has an MLflow run of its own above those of its children, which are compared.
    runs = [run for run in queries.find(query) if "sweep" not in run.data.tags]
    if not runs:
        raise UserError(f"no run matches --query {query!r}; `mlflow ui` shows all" if query else "no runs")
    if len(runs) > limit:
        print(f"the newest {limit} runs of more; --limit takes more of them")
    measure = measure_of(runs[:limit], metric, greater_is_better)
    curves = [curve_of(run, measure) for run in runs[:limit]]
    rows = rows_of(curves, measure)
    words = "_".join(re.findall(r"[a-z0-9]+", query.lower()))[:40] or "all"
    key = hashlib.sha256(repr((query, metric, limit)).encode()).hexdigest()[:8]
    path = Path(output_dir or environment.resolved_prefix() / "compare" / f"{words}-{key}")
    content = {"query": query, "metric": measure.name, "limit": limit}
    with hold_folder(path, "compare.json", content) as folder:
        write_csv(folder / "compare.csv", rows)
        figures.save_figure(figure_of([curve for curve in curves if curve.values], measure), folder / "compare.png")
    shown = [{name: value for name, value in row.items() if name != "run id"} for row in rows]
    print(f"{measure.name}\n{tables.format_table(shown)}\nwritten: {folder / 'compare.csv'}, compare.png")


def measure_of(runs: "Sequence[Run]", metric: str | None, greater_is_better: bool | None) -> Measure:
    """Return the metric to compare runs by.

    Raises:
        UserError: no metric is given and none follows from the runs, none of them has it, or its direction is unknown.
    """
    names = {run.data.tags["task"] for run in runs if "task" in run.data.tags}
    task = queries.task_of(next(run for run in runs if "task" in run.data.tags)) if len(names) == 1 else None
    name = metric or _default_metric(runs, names, task)
    known = sorted({known for run in runs for known in run.data.metrics})
    if name not in known:
        raise UserError(f"none of the {len(runs)} runs has the metric {name!r}.{suggest(name, known)}")
    primary = task if task is not None and parse_tracked(name).metric == task.primary_metric else None
    if greater_is_better is None:
        if primary is None and not name.endswith("loss"):
            raise UserError(f"--metric {name} needs --greater_is_better true (or false)")
        greater_is_better = primary is not None and primary.greater_is_better
    return Measure(name, greater_is_better, primary.plot if primary else None)


def curve_of(run: "Run", measure: Measure) -> MetricCurve:
    """Return a run's metric over its steps; of a step that was logged twice, the newer value."""
    from mlflow import MlflowClient

    if measure.name not in run.data.metrics:
        return MetricCurve(run, {})
    points = MlflowClient().get_metric_history(run.info.run_id, measure.name)  # in the order of their time
    newest = {point.step: point.value for point in points}
    return MetricCurve(run, dict(sorted(newest.items())))


def rows_of(curves: Sequence[MetricCurve], measure: Measure) -> list[dict[str, Any]]:
    """Return the rows of the table, the best run first, runs without the metric last."""
    differing = differences([curve.run for curve in curves if curve.values])
    baselines = [baselines_of(measure.name, curve.run.data.metrics) for curve in curves]
    columns = {name: baseline(name, "") for name in sorted({name for values in baselines for name in values})}
    rows = []
    for curve, values in zip(curves, baselines, strict=True):
        info, tags = curve.run.info, curve.run.data.tags
        step, value = curve.best(measure.greater_is_better)
        last_step = max(curve.values, default=None)
        rows.append(
            {
                "run": info.run_name,
                "status": info.status,
                **{name: params_of(curve.run).get(name) for name in differing},
                "best": value,
                "at step": step,
                "last": None if last_step is None else curve.values[last_step],
                "last step": last_step,
                **{column: values.get(name) for name, column in columns.items()},
                "folder": tags.get(FOLDER_TAG),
                "run id": info.run_id,
            }
        )
    sign = -1 if measure.greater_is_better else 1
    return sorted(rows, key=lambda row: (row["best"] is None, sign * (row["best"] or 0)))


def differences(runs: "Sequence[Run]") -> list[str]:
    """Return the parameters in which runs differ, in the order of the first."""
    params = [params_of(run) for run in runs]
    names = dict.fromkeys(name for of_run in params for name in of_run)
    return [name for name in names if len({of_run.get(name) for of_run in params}) > 1]


def params_of(run: "Run") -> dict[str, str]:
    """Return a run's parameters since it was last resumed (see `Tracker.params`)."""
    drift = {name[6:]: value for name, value in run.data.tags.items() if name.startswith("drift.")}
    return {**run.data.params, **drift}


def labels(runs: "Sequence[Run]") -> list[str]:
    """Return a label for each run: the parameters that differ, and its name where they do not suffice."""
    differing = differences(runs)
    texts = [", ".join(f"{name}={params_of(run).get(name, '-')}" for name in differing) for run in runs]
    pairs = [(text, str(run.info.run_name)) for text, run in zip(texts, runs, strict=True)]
    return [text if text and texts.count(text) == 1 else f"{name} {text}".strip() for text, name in pairs]


def figure_of(curves: Sequence[MetricCurve], measure: Measure) -> "Figure":
    """Draw the metric over steps, a line for each run, and the trivial baseline if all runs have the same."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    spec = measure.spec
    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    axes = figure.subplots()
    colours = colormaps["turbo"].resampled(len(curves) + 2)
    for number, (curve, label) in enumerate(zip(curves, labels([c.run for c in curves]), strict=True), start=1):
        values = list(curve.values.values())
        if spec is not None:
            values = [min(max(value, spec.limits[0]), spec.limits[1]) for value in values]
        text = textwrap.fill(label, 50).replace("$", r"\$")  # no formula is meant
        axes.plot(list(curve.values), values, "o-", ms=3, lw=1.3, color=colours(number), label=text)
    baselines = {baselines_of(measure.name, curve.run.data.metrics).get("") for curve in curves}
    if len(baselines) == 1 and (value := baselines.pop()) is not None:
        axes.axhline(value, color="#718096", ls=":", lw=1.2, label="trivial baseline")
    axes.set(xlabel="step", ylabel=spec.label if spec else measure.name, title=measure.name)
    if spec is not None and spec.log:
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _default_metric(runs: "Sequence[Run]", names: set[str], task: "Task | None") -> str:
    if task is None:
        which = f"of several tasks ({', '.join(sorted(names))})" if len(names) > 1 else "of no task that is known here"
        raise UserError(f"the runs are {which}; say what to compare with --metric, e.g. --metric validation/loss")
    parsed_of_runs = [map(parse_tracked, run.data.metrics) for run in runs]
    curves = [{p for p in parsed if (p.stage, p.metric) == (EVAL, task.primary_metric)} for parsed in parsed_of_runs]
    measured = [splits for splits in curves if splits]
    shared = set.intersection(*measured) if measured else set()
    if not shared:
        seen = sorted(name.tracked for name in set().union(*measured))
        hint = f"; there are {', '.join(seen)}" if seen else ""
        raise UserError(f"the runs share no evaluation of {task.primary_metric}; give a --metric{hint}")
    # `validation` chooses the checkpoint wherever it exists.
    order = ("validation", "memorisation")
    return min((name.tracked for name in shared), key=lambda n: (*(parse_tracked(n).split != s for s in order), n))
