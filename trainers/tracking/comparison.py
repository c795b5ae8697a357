"""Compare tracked runs by a metric: table, differing parameters, curves."""

import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from trainers.common import environment, figures, tables
from trainers.common.files import write_csv
from trainers.common.intervals import INTERVAL, mean_interval, paired_interval, say_difference, say_interval
from trainers.common.metric_names import EVAL, baseline, baselines_of, parse_tracked
from trainers.common.seeds import without_seeds
from trainers.errors import UserError, suggest
from trainers.folders.command_folder import hold_folder
from trainers.tracking import queries
from trainers.tracking.comparison_figure import draw_groups
from trainers.tracking.mlflow_runs import FOLDER_TAG

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Run

    from trainers.contract import SummarySpec, Task

_WIDTH, _CELL, _LABEL = 100, 24, 40  # characters of the printed table, of a cell of it, and of a label in the figure
_SEED = re.compile(r"[-,]seed[-=]\d+")  # in the name of a run that is one of several


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
    # A sweep or study has an MLflow run of its own above those of its children, an evaluation one below its training's.
    above = {"sweep", "study", "seeds", queries.EVALUATES_TAG}
    runs = [run for run in queries.find(query) if not above & run.data.tags.keys()]
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
    with hold_folder(path, "compare.json", {"query": query, "metric": measure.name, "limit": limit}) as folder:
        write_csv(folder / "compare.csv", rows)
        figures.save_figure(figure_of([curve for curve in curves if curve.values], measure), folder / "compare.png")
    print(f"{measure.name}\n{shown_table(rows)}")
    groups, means = _grouped(curves), means_over_seeds(curves, measure)
    for group, label in zip(groups, labels([own[0].run for own in groups.values()]), strict=True):
        if group in means and means[group]["seeds"] > 1:
            print(f"{label}: best {say_interval(means[group])}")
    print_differences(groups, measure)
    print(f"written: {folder / 'compare.csv'} (all columns), compare.png")


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


def shown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return of the rows what fits a terminal: what differs between the runs, and the metric."""
    differing = list(rows[0])[2 : list(rows[0]).index("best")]
    measured = ["best", "at step", "last", "last step", *(name for name in rows[0] if name == "baseline")]
    status = [] if len({row["status"] for row in rows}) == 1 else ["status"]
    for n_shown in range(len(differing), -1, -1):
        names = ["run", *status, *differing[:n_shown], *measured]
        table = tables.format_table([{name: _cut(row[name], _CELL) for name in names} for row in rows])
        if max(map(len, table.splitlines())) <= _WIDTH:
            break
    left_out = textwrap.shorten(", ".join(differing[n_shown:]), _WIDTH - 25)
    return f"{table}\nthey also differ in {left_out}" if left_out else table


def _cut(value: Any, length: int) -> Any:
    return f"{value[: length - 1]}…" if isinstance(value, str) and len(value) > length else value


def rows_of(curves: Sequence[MetricCurve], measure: Measure) -> list[dict[str, Any]]:
    """Return the rows of the table, the best run first, runs without the metric last."""
    differing = differences([curve.run for curve in curves if curve.values])
    means = means_over_seeds(curves, measure)
    baselines = [baselines_of(measure.name, curve.run.data.metrics, curve.run.data.params) for curve in curves]
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
                **means.get(_group(curve.run), dict.fromkeys(INTERVAL)),
                "folder": tags.get(FOLDER_TAG),
                "run id": info.run_id,
            }
        )
    sign = -1 if measure.greater_is_better else 1
    return sorted(rows, key=lambda row: (row["best"] is None, sign * (row["best"] or 0)))


def means_over_seeds(curves: Sequence[MetricCurve], measure: Measure) -> dict[str, dict[str, Any]]:
    """Return mean and interval of the best values of finished runs that differ by their seed only, by their group."""
    best = {group: _best_by_seed(own, measure) for group, own in _grouped(curves).items()}
    return {group: mean_interval(list(values.values())) for group, values in best.items() if values}


def _best_by_seed(curves: Sequence[MetricCurve], measure: Measure) -> dict[str | None, float]:
    """Return seed -> best value of the finished runs of a group."""
    finished = [curve for curve in reversed(curves) if curve.run.info.status == "FINISHED"]
    # The newest run comes last: of two with one seed it counts.
    best = {params_of(curve.run).get("seed"): curve.best(measure.greater_is_better)[1] for curve in finished}
    return {seed: value for seed, value in best.items() if value is not None}


def print_differences(groups: Mapping[str, Sequence[MetricCurve]], measure: Measure) -> None:
    """Print the mean difference of every group to the best one, over the seeds that both have, if there are two."""
    best = {group: values for group, own in groups.items() if (values := _best_by_seed(own, measure))}
    names = dict(zip(groups, labels([own[0].run for own in groups.values()]), strict=True))
    sign = -1 if measure.greater_is_better else 1
    several = [group for group, values in best.items() if len(values) > 1]
    first = min(several, key=lambda group: sign * fmean(best[group].values()), default=None)
    for group in several:
        if first not in (None, group) and (difference := paired_interval(best[group], best[first]))["seeds"] > 1:
            print(say_difference(measure.name, names[group], names[first], difference, "+.4g"))


def _grouped(curves: Sequence[MetricCurve]) -> dict[str, list[MetricCurve]]:
    """Return the runs that differ by their seed only, by what they have in common."""
    groups: dict[str, list[MetricCurve]] = {}
    for curve in curves:
        groups.setdefault(_group(curve.run), []).append(curve)
    return groups


def _group(run: "Run") -> str:
    tags = {name: run.data.tags.get(name) for name in ("task", "dataset.train_sha256")}
    return repr(sorted({**without_seeds(params_of(run)), **tags}.items()))


def differences(runs: "Sequence[Run]") -> list[str]:
    """Return the parameters in which runs differ, in the order of the first."""
    params = [params_of(run) for run in runs]
    names = dict.fromkeys(name for of_run in params for name in of_run)
    return [name for name in names if len({of_run.get(name) for of_run in params}) > 1]


def params_of(run: "Run") -> dict[str, str]:
    """Return a run's parameters since it was last resumed (see `Tracker.params`)."""
    tags = {n.removeprefix("drift."): v for n, v in run.data.tags.items() if n == "init_from" or n.startswith("drift.")}
    return {n: value for n, value in {**run.data.params, **tags}.items() if "/" not in n}  # others: baselines


def labels(runs: "Sequence[Run]") -> list[str]:
    """Return a short label for each run: the parameters that differ (no seeds), its name where they do not suffice."""
    differing = without_seeds(dict.fromkeys(differences(runs)))
    texts = [", ".join(f"{name}={params_of(run).get(name, '-')}" for name in differing) for run in runs]
    pairs = [(text, _SEED.sub("", str(run.info.run_name))) for text, run in zip(texts, runs, strict=True)]
    long = [text if text and texts.count(text) == 1 else f"{name} {text}".strip() for text, name in pairs]
    return [_cut(label if len(label) <= _LABEL else name, _LABEL) for label, (_, name) in zip(long, pairs, strict=True)]


def figure_of(curves: Sequence[MetricCurve], measure: Measure) -> "Figure":
    """Draw the metric over steps, a colour for all seeds of a group, and a baseline that all share."""
    groups = _grouped(curves).values()
    labelled = zip(labels([own[0].run for own in groups]), groups, strict=True)
    drawn = [(text, [curve.values for curve in own]) for text, own in labelled]
    baselines = {baselines_of(measure.name, curve.run.data.metrics, curve.run.data.params).get("") for curve in curves}
    return draw_groups(drawn, measure.name, measure.spec, baselines.pop() if len(baselines) == 1 else None)


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
