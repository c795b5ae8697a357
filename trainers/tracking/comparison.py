"""Compare tracked runs: final metrics, curves, differing parameters, figure."""

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

_MARKER = "compare.json"


@dataclass(frozen=True)
class Measure:
    """The metric that is compared: MLflow's name, direction, and how the task draws it (None: not its own)."""

    name: str
    greater_is_better: bool
    spec: "SummarySpec | None"


@dataclass(frozen=True)
class MetricCurve:
    """A run and its metric: step -> value, in rising steps; empty if it has none."""

    run: "Run"
    values: Mapping[int, float]

    def best(self, greater_is_better: bool) -> tuple[int, float] | tuple[None, None]:
        """Step and value of the best point; the earliest of equal ones."""
        numbers = [(step, value) for step, value in self.values.items() if value == value]  # NaN differs from itself
        if not numbers:
            return None, None
        return (max if greater_is_better else min)(numbers, key=lambda point: point[1])


def compare(query: str, metric: str | None, greater_is_better: bool | None, limit: int, output_dir: str | None) -> None:
    """Write and print the comparison of the newest runs that match a query.

    Raises:
        UserError: no run matches, they cannot be compared, or the folder is in use for something else.
    """
    # A sweep has a record of its own above those of its runs; it is these that are compared.
    runs = [run for run in queries.find(query) if "sweep" not in run.data.tags]
    if not runs:
        raise UserError(f"no run matches --query {query!r}; `mlflow ui` shows all" if query else "no runs")
    if len(runs) > limit:
        print(f"the newest {limit} runs of more; --limit takes more of them")
    measure = measure_of(runs[:limit], metric, greater_is_better)
    courses = [curve_of(run, measure) for run in runs[:limit]]
    rows = rows_of(courses, measure)
    content = {"query": query, "metric": measure.name, "limit": limit}
    with hold_folder(_folder(query, metric, limit, output_dir), _MARKER, content) as folder:
        write_csv(folder / "compare.csv", rows)
        figures.save_figure(figure_of([course for course in courses if course.values], measure), folder / "compare.png")
    shown = [{name: value for name, value in row.items() if name != "run id"} for row in rows]
    print(f"{measure.name}\n{tables.format_table(shown)}\nwritten: {folder / 'compare.csv'}, compare.png")


def _folder(query: str, metric: str | None, limit: int, output_dir: str | None) -> Path:
    words = "_".join(re.findall(r"[a-z0-9]+", query.lower()))[:40] or "all"
    key = hashlib.sha256(repr((query, metric, limit)).encode()).hexdigest()[:8]
    return Path(output_dir or environment.resolved_prefix() / "compare" / f"{words}-{key}")


def measure_of(runs: "Sequence[Run]", metric: str | None, greater_is_better: bool | None) -> Measure:
    """What to compare runs by.

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
            raise UserError(f"--metric {name} needs --greater_is_better true (or false) beside it")
        greater_is_better = primary is not None and primary.greater_is_better
    return Measure(name, greater_is_better, primary.plot if primary else None)


def curve_of(run: "Run", measure: Measure) -> MetricCurve:
    """A run's metric over its steps; of a step that was logged twice the newer value."""
    from mlflow import MlflowClient

    if measure.name not in run.data.metrics:
        return MetricCurve(run, {})
    points = MlflowClient().get_metric_history(run.info.run_id, measure.name)  # in the order of their time
    newest = {point.step: point.value for point in points}
    return MetricCurve(run, dict(sorted(newest.items())))


def rows_of(courses: Sequence[MetricCurve], measure: Measure) -> list[dict[str, Any]]:
    """The table, best run first, runs without the metric last."""
    differing = differences([course.run for course in courses if course.values])
    baselines = [baselines_of(measure.name, course.run.data.metrics) for course in courses]
    columns = {name: baseline(name, "") for name in sorted({name for values in baselines for name in values})}
    rows = []
    for course, values in zip(courses, baselines, strict=True):
        info, tags = course.run.info, course.run.data.tags
        step, value = course.best(measure.greater_is_better)
        last_step = max(course.values, default=None)
        rows.append(
            {
                "run": info.run_name,
                "status": info.status,
                **{name: params_of(course.run).get(name) for name in differing},
                "best": value,
                "at step": step,
                "last": None if last_step is None else course.values[last_step],
                "last step": last_step,
                **{column: values.get(name) for name, column in columns.items()},
                "folder": tags.get(FOLDER_TAG),
                "run id": info.run_id,
            }
        )
    sign = -1 if measure.greater_is_better else 1
    return sorted(rows, key=lambda row: (row["best"] is None, sign * (row["best"] or 0)))


def differences(runs: "Sequence[Run]") -> list[str]:
    """The parameters in which runs differ, in the order of the first."""
    params = [params_of(run) for run in runs]
    names = dict.fromkeys(name for found in params for name in found)
    return [name for name in names if len({found.get(name) for found in params}) > 1]


def params_of(run: "Run") -> dict[str, str]:
    """A run's parameters, as they are since it was last resumed (see `Tracker.params`)."""
    drift = {name[6:]: value for name, value in run.data.tags.items() if name.startswith("drift.")}
    return {**run.data.params, **drift}


def labels(runs: "Sequence[Run]") -> list[str]:
    """What tells a run from the others: the parameters that differ, and its name where they do not suffice."""
    differing = differences(runs)
    texts = [", ".join(f"{name}={params_of(run).get(name, '-')}" for name in differing) for run in runs]
    pairs = [(text, str(run.info.run_name)) for text, run in zip(texts, runs, strict=True)]
    return [text if text and texts.count(text) == 1 else f"{name} {text}".strip() for text, name in pairs]


def figure_of(courses: Sequence[MetricCurve], measure: Measure) -> "Figure":
    """The metric over steps, a line for each run, and the trivial baseline where all runs have the same."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    spec = measure.spec
    figure = Figure(figsize=(11, 5), dpi=110, layout="constrained")
    axes = figure.subplots()
    colours = colormaps["turbo"].resampled(len(courses) + 2)
    for number, (course, label) in enumerate(zip(courses, labels([c.run for c in courses]), strict=True), start=1):
        values = list(course.values.values())
        if spec is not None:
            values = [min(max(value, spec.limits[0]), spec.limits[1]) for value in values]
        text = textwrap.fill(label, 50).replace("$", r"\$")  # no formula is meant
        axes.plot(list(course.values), values, "o-", ms=3, lw=1.3, color=colours(number), label=text)
    baselines = {baselines_of(measure.name, course.run.data.metrics).get("") for course in courses}
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
    names_of_runs = [{name for name in run.data.metrics if _is_curve_of(name, task)} for run in runs]
    measured = [names for names in names_of_runs if names]
    shared = set.intersection(*measured) if measured else set()
    if not shared:
        seen = sorted(set().union(*measured))
        hint = f"; there are {', '.join(seen)}" if seen else ""
        raise UserError(f"the runs share no evaluation of {task.primary_metric}; give a --metric{hint}")
    # The splits that are there in training are called so; `validation` chooses the checkpoint wherever it exists.
    order = ("validation", "memorisation")
    return min(shared, key=lambda name: (*(parse_tracked(name).split != split for split in order), name))


def _is_curve_of(name: str, task: "Task") -> bool:
    parsed = parse_tracked(name)
    return parsed.stage == EVAL and parsed.metric == task.primary_metric
