"""Measure the runs of a forgetting study, checkpoint by checkpoint, and write its table and figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.geography.city_probe import ORIGINAL_BLOCKS, CityProbeOptions
from tasks.geography.forgetting_table import FineTuneCurve, as_markdown, forgetting_figure, means, table
from tasks.geography.pair_answers import parse_km
from tasks.geography.pair_metric import absolute_errors_km
from tasks.geography.pairs import distances_km
from trainers.common import figures
from trainers.common.files import write_csv, write_text
from trainers.common.metric_names import EVAL, FINAL, MetricName
from trainers.errors import UserError
from trainers.folders.checkpoints import read_state
from trainers.folders.run_dataset import own_dataset
from trainers.folders.run_folder import RunFolder
from trainers.probes.checkpoints import load_checkpoint, probe_run
from trainers.text import TextRows, answers_to
from trainers.tracking.tracker import Tracker

TESTED = MetricName(FINAL, "test", "abs_error_km_mean").logged  # in results.json
_OWN = MetricName(EVAL, "validation", "abs_error_km_mean").logged
REAL_PAIRS = 1_000  # the first ones of the base's test split: no run trains on them, and they are the same for all
_BATCH = 512


def report(
    folder: Path,
    bases: Mapping[int | None, RunFolder],
    runs: Mapping[str, Mapping[int | None, RunFolder]],
    reference: str,
    tracker: Tracker,
    probe: CityProbeOptions,
) -> None:
    """Measure all runs; write `table.csv`, `table.md` and `forgetting.png` into the study's folder and into MLflow.

    Of several seeds, `table.csv` has a row for each run and seed, and `means.csv` and `table.md` the means.

    Args:
        bases: Seed -> the run that the fine-tunings of this seed start from; None is the seed of a study of one.
        runs: Name -> seed -> finished run.
        reference: The run whose fall the others are compared with.
        probe: How the map is read.
    """
    for base in {base.path: base for base in bases.values()}.values():
        _probe_base(base, probe)
    measured = {
        name: {seed: _curve_of(run, bases[seed], probe) for seed, run in of.items()} for name, of in runs.items() if of
    }
    of_seeds = {
        seed: table({name: curves[seed] for name, curves in measured.items() if seed in curves}, reference)
        for seed in bases
    }
    rows = [{**({} if seed is None else {"seed": seed}), **row} for seed, of in of_seeds.items() for row in of]
    mean_rows = rows if None in bases else means(of_seeds, reference)
    markdown = as_markdown(mean_rows, reference)
    print(f"\n{markdown}")
    write_text(folder / "table.md", markdown)
    write_csv(folder / "table.csv", rows)
    figures.save_figure(
        forgetting_figure({name: [*curves.values()] for name, curves in measured.items()}), folder / "forgetting.png"
    )
    files = [folder / name for name in ("table.md", "table.csv", "forgetting.png")]
    if None not in bases:
        write_csv(folder / "means.csv", mean_rows)
        files.append(folder / "means.csv")
    _track(tracker, bases, runs, rows, files)
    _track_curves(tracker, measured)
    print(f"written: {', '.join(map(str, files))}")


def _track(
    tracker: Tracker,
    bases: Mapping[int | None, RunFolder],
    runs: Mapping[str, Mapping[int | None, RunFolder]],
    rows: list[dict[str, Any]],
    files: list[Path],
) -> None:
    """Track which runs were measured, the table and the files."""
    for seed, base in bases.items():
        of_seed = {"base": base, **{f"run.{name}": of[seed] for name, of in runs.items() if seed in of}}
        ids = {f"{name}_run_id" if name == "base" else name: run.run_id for name, run in of_seed.items()}
        suffix = "" if seed is None else f"-{seed}"
        tracker.tags({f"{name}{suffix}": run_id for name, run_id in {"base": base.path, **ids}.items()})
    tracker.table({name: [row[name] for row in rows] for name in rows[0]}, "forgetting.json")
    for path in files:
        tracker.file(path)


def _track_curves(tracker: Tracker, measured: Mapping[str, Mapping[int | None, FineTuneCurve]]) -> None:
    for name, of_seeds in measured.items():
        for seed, course in of_seeds.items():
            run = name if seed is None else f"{name}-{seed}"
            for step, km, probe in zip(course.steps, course.real_km, course.probe, strict=True):
                tracker.metrics({f"{run}/real_km": km, f"{run}/probe_km": probe["error_km_mean"]}, step)


def _probe_base(base: RunFolder, probe: CityProbeOptions) -> None:
    """Probe the base as asked and, where the model has the blocks that it reads, by the protocol `original`."""
    print(f"\n== {base.path.name}: probing", flush=True)
    probe_run(base, probe)
    if probe.protocol != "original" and load_checkpoint(base.path).config.num_hidden_layers >= ORIGINAL_BLOCKS[-1]:
        probe_run(base, CityProbeOptions(protocol="original"))


def _curve_of(run: RunFolder, base: RunFolder, probe: CityProbeOptions) -> FineTuneCurve:
    """Probe and test every checkpoint of a run."""
    print(f"\n== {run.path.name}: measuring", flush=True)
    _, readings = probe_run(run, probe, compare=str(base.path))
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
    data = own_dataset(base)
    if "test" not in data.splits:
        raise UserError(f"{data.path} has no test split to measure forgetting on; train the base with --n_test")
    test = data.splits["test"]
    return TextRows("test", test.select(range(min(REAL_PAIRS, len(test)))))


def _error_km(checkpoint: Path, rows: TextRows) -> float:
    """Return the mean absolute error of a model's generated answers."""
    predicted_km = np.array([parse_km(answer) for answer in answers_to(rows, load_checkpoint(checkpoint), _BATCH)])
    return float(absolute_errors_km(predicted_km, distances_km(rows.table)).mean())
