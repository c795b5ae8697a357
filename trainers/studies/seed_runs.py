"""Train one run with several seeds, `train --seeds`: every seed's score, means with intervals, curves with a band."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import registry
from trainers.common import environment, figures
from trainers.common.files import write_csv
from trainers.common.intervals import interval_cell, mean_interval, seeds_note
from trainers.common.metric_names import EVAL, FINAL, TIMES, MetricName, baseline, parse_logged, splits_with
from trainers.common.seeds import seeds_of
from trainers.common.tables import format_number, format_table
from trainers.contract import Task
from trainers.errors import UserError
from trainers.folders.checkpoints import read_state
from trainers.folders.command_folder import folder_name, hold_folder
from trainers.folders.run_folder import RunFolder
from trainers.settings.layers import Layer, argv_of
from trainers.settings.request import Request, read_request
from trainers.settings.resolve import read_command, resolve_settings
from trainers.studies.child_processes import ChildOptions
from trainers.studies.parent import Children, SeedRuns, parent_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIONS = [item.name for item in dataclasses.fields(ChildOptions)]
"""The flags that make one run several."""
_MARKER = "seeds.json"
_REFUSED = {
    "seed": "is given by --seeds",
    "overwrite": "would replace finished seeds; delete the folder, or give another --output_dir",
    "resume_from_checkpoint": "is not needed: the same command goes on where each seed was",
    "dry_run": "describes one run; leave out --seeds",
}


def train_seeds(flags: Layer) -> None:
    """Train what the flags ask for with every seed, below one MLflow run; report the finished ones.

    Raises:
        UserError: the flags do not go together, or not all seeds could be trained to their end.
    """
    (options,) = read_command({name: flags[name] for name in OPTIONS if name in flags}, ChildOptions)
    own = {name: values for name, values in flags.items() if name not in OPTIONS}
    seeds = _checked(options, own)
    request = read_request(argv_of(own), registry.load)
    resolve_settings(request)  # what is wrong is said once, not by every run
    asked = own.pop("output_dir", None)
    folder = Path(asked[0]) if asked else environment.resolved_prefix() / "seeds" / _name(request, own)
    with (
        hold_folder(folder, _MARKER, {"flags": own}) as folder,
        parent_run(folder, _MARKER, request.task.name) as tracker,
    ):
        tracker.tags({"task": request.task.name, "seeds": ",".join(map(str, seeds))})
        tracker.params({name: " ".join(values) for name, values in own.items()})
        children = Children(options, tracker)
        places = {seed: folder / f"seed-{seed}" for seed in seeds}
        finished = {
            run.path for run in children.train({place: {**own, "seed": seed} for seed, place in places.items()})
        }
        runs = {seed: RunFolder(place) for seed, place in places.items() if place in finished}
        states = {seed: children.states[place.name] for seed, place in places.items()}
        if runs:
            _report(request.task, runs, states, folder, children)
        children.check()


def _checked(options: ChildOptions, own: Layer) -> list[int]:
    """Return the seeds; raise a `UserError` unless the flags go together."""
    if options.seeds is None:
        given = " and ".join(f"--{name}" for name in OPTIONS if getattr(options, name) != getattr(ChildOptions(), name))
        raise UserError(f"{given or '--parallel'} is for several runs; give --seeds too, e.g. --seeds 3")
    for name in own:
        if name in _REFUSED:
            raise UserError(f"--{name} and --seeds are both given; --{name} {_REFUSED[name]}")
    if (n_processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise UserError(
            f"--seeds starts a process for every run, and the launcher has started {n_processes}; use `world-models"
            " train --seeds`, or launch one --seed at a time"
        )
    return seeds_of(options.seeds)


def _name(request: Request, own: Layer) -> str:
    """Return the folder's name: the config or task, and what else was asked for."""
    stem = Path(own["config"][0] if "config" in own else request.task.name).stem
    others = [f"{name}={' '.join(values)}" for name, values in own.items() if name not in ("task", "config", "threads")]
    return folder_name(",".join([stem, *sorted(others)]))


def _report(task: Task, runs: SeedRuns, states: Mapping[int, str], folder: Path, children: Children) -> None:
    """Print, write and track every seed's primary metric, the means of all metrics, and the curves."""
    metric, tracker = task.primary_metric, children.tracker
    means = mean_rows({seed: run.results for seed, run in runs.items()}, metric)
    splits = splits_with(metric, FINAL, next(iter(runs.values())).results)
    rows = [
        {
            "seed": seed,
            **{f"{split}/{metric}": _final(runs.get(seed), MetricName(FINAL, split, metric)) for split in splits},
            "state": state,
        }
        for seed, state in states.items()
    ]
    write_csv(folder / "seeds.csv", rows)
    write_csv(folder / "means.csv", means)
    figures.save_figure(_curves_figure(task, runs), folder / "seeds.png")
    for name, table in (("seeds.json", rows), ("means.json", means)):
        tracker.table({column: [row[column] for row in table] for column in table[0]}, name)
    for name in ("seeds.csv", "means.csv", "seeds.png"):
        tracker.file(folder / name)
    primary = [row for row in means if row["metric"].endswith(f"/{metric}")]
    tracker.metrics({f"mean/{row['metric']}": row["mean"] for row in primary if row["mean"] is not None}, len(runs))
    if len({run.settings.get("resolved", {}).get("bf16") for run in runs.values()}) > 1:
        print("note: some seeds computed in bfloat16 and others in float32; give --precision to have all alike")
    print(
        f"\n{format_table(rows)}\n\n{_shown(primary)}\nwritten: {folder}/ seeds.csv, means.csv, seeds.png", flush=True
    )


def _final(run: RunFolder | None, name: MetricName) -> float | None:
    return None if run is None else run.results.get(name.logged)


def mean_rows(results: Mapping[int, Mapping[str, Any]], primary: str) -> list[dict[str, Any]]:
    """Return of every final metric its number of seeds, mean, 95 % interval and trivial baseline, the primary first.

    Args:
        results: Seed -> `results.json`. A value that is not finite does not count.
    """
    first = next(iter(results.values()))
    splits = splits_with("loss", FINAL, first)
    names = [name for text in first if (name := parse_logged(text, splits)) and name.stage == FINAL]
    rows = []
    for name in sorted(names, key=lambda name: name.metric != primary):
        values = [float(value) for of in results.values() if isinstance(value := of.get(name.logged), (int, float))]
        if values and not name.is_constant and name.metric not in TIMES:
            stated = mean_interval([value for value in values if math.isfinite(value)])
            of_baseline = name._replace(metric=baseline("", name.metric)).logged
            rows.append({"metric": f"{name.split}/{name.metric}", **stated, "baseline": first.get(of_baseline)})
    return rows


def _shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return means of the primary metric as text."""
    shown = [
        {
            "metric": row["metric"],
            "n": row["seeds"],
            "mean [95 %]": interval_cell(row),
            "baseline": "-" if row["baseline"] is None else format_number(row["baseline"]),
        }
        for row in rows
    ]
    return f"{format_table(shown)}\n{seeds_note(row['seeds'] for row in rows)}"


def _curves_figure(task: Task, runs: SeedRuns) -> "Figure":
    """Draw the primary metric over steps on every split that is evaluated in training, at the steps that all have."""
    from matplotlib.figure import Figure

    histories = [read_state(run.path)["log_history"] for run in runs.values()]
    logged = {name for history in histories for entry in history for name in entry}
    splits = splits_with(task.primary_metric, EVAL, logged)
    figure = Figure(figsize=(6.5 * max(1, len(splits)), 4.6), dpi=110, layout="constrained")
    for place, split in enumerate(splits):
        key = MetricName(EVAL, split, task.primary_metric).logged
        curves = [{entry["step"]: entry[key] for entry in history if key in entry} for history in histories]
        steps = sorted(set.intersection(*map(set, curves)))
        axes = figure.add_subplot(1, len(splits), place + 1)
        low, high = task.plot.limits  # a logarithmic axis has no 0
        curves = [{step: min(max(value, low), high) for step, value in curve.items()} for curve in curves]
        label = f"mean of {len(runs)} seeds, 95 % band" if len(runs) > 1 else "one seed"
        figures.draw_seeds(axes, steps, [[curve[step] for step in steps] for curve in curves], lw=2, label=label)
        axes.set(xlabel="step", ylabel=task.plot.label, title=split)
        axes.set_yscale("log" if task.plot.log else "linear")
        axes.set_ylim(low, high)
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    return figure
