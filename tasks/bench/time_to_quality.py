"""Measure the time to quality of the original recipe and this stack's, in one run.

    python -m tasks.bench.time_to_quality --minutes 15 --contenders location location_original

Every contender trains at the same time, with one thread each, so that whatever else the machine does slows all of them
alike. The table gives the wall time, evaluations included, at which an evaluation over all rows was first below each
threshold; a time in brackets is relative to the first contender's. JSON goes to `<EXP_DIR_PREFIX>/bench/`.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.bench.report import write_report
from trainers.common import environment
from trainers.common.metric_names import EVAL, MetricName, splits_with
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.checkpoints import read_state
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.settings.command import command

THRESHOLDS_KM = (500.0, 100.0, 50.0)
METRIC = "haversine_km_mean"


@dataclass
class RaceOptions:
    """The contenders, and for how long they train."""

    contenders: list[str] = field(
        default_factory=lambda: ["location", "location_original"],
        metadata={"help": "configs to compare, the first one's times count as 1"},
    )
    minutes: float = option(12.0, "wall time after which every contender is stopped", least=1e-9)


def first_below(history: Sequence[Mapping[str, Any]], threshold: float) -> float | None:
    """Return the seconds until the first evaluation below `threshold`, or None.

    Args:
        history: Entries of a `trainer_state.json`, of evaluations with loss, metric and `elapsed_s`.
        threshold: Mean error in km.
    """
    return next((elapsed_s for _, km, elapsed_s in _evaluations(history) if km < threshold), None)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one line per contender: seconds to each threshold, and its last evaluation."""
    first = next(iter(results.values()))["seconds_to"]
    rows = [
        {
            "contender": name,
            **{f"< {km:g} km": _seconds(result["seconds_to"][f"{km:g}"], first[f"{km:g}"]) for km in THRESHOLDS_KM},
            "last mean km": result["last_km"],
            "after s": result["last_s"],
            "steps": result["steps"],
        }
        for name, result in results.items()
    ]
    return format_table(rows, {"last mean km": ",.1f", "after s": ",.0f", "steps": ","})


@command(RaceOptions)
def main(given: RaceOptions) -> None:
    """Let the contenders race."""
    prefix = environment.resolved_prefix()
    with tempfile.TemporaryDirectory(dir=prefix, prefix=".bench-") as scratch:
        results = _race(given.contenders, given.minutes * 60, Path(scratch))
    print(table(results))
    write_report(prefix, "time_to_quality", {"minutes": given.minutes, "threads_each": 1, "results": results})


def _race(contenders: Sequence[str], limit_s: float, scratch: Path) -> dict[str, dict[str, Any]]:
    """Train all contenders at once and read how far each came."""
    runs = {Path(config).stem: _start(config, scratch / Path(config).stem) for config in contenders}
    deadline_s = time.monotonic() + limit_s
    try:
        for name, process in runs.items():
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.terminate()
            code = process.wait()
            if code in (1, 2):  # not stopped at the deadline, but ended by an error of its own
                raise UserError(f"the contender {name} failed: {(scratch / f'{name}.log').read_text()[-300:]}")
    finally:
        for process in runs.values():
            process.kill()
    return {name: _result(scratch / name) for name in runs}


def _start(config: str, folder: Path) -> "subprocess.Popen[bytes]":
    script = environment.CODE / "trainers" / "run.py"
    command = [sys.executable, str(script), "--config", config, "--threads", "1", "--output_dir", str(folder)]
    return subprocess.Popen(command, stdout=folder.with_name(f"{folder.name}.log").open("wb"), stderr=subprocess.STDOUT)


def _result(folder: Path) -> dict[str, Any]:
    checkpoints = RunFolder(folder).checkpoints
    if not checkpoints:
        raise UserError(f"{folder.name} did not reach its first evaluation; give more --minutes")
    history = read_state(checkpoints[max(checkpoints)])["log_history"]
    if not _evaluations(history):
        raise UserError(f"{folder.name} reports no {METRIC}, by which contenders are compared; give location configs")
    step, last_km, last_s = _evaluations(history)[-1]
    return {
        "seconds_to": {f"{km:g}": first_below(history, km) for km in THRESHOLDS_KM},
        "steps": step,
        "last_km": last_km,
        "last_s": last_s,
        "history": history,
    }


def _evaluations(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, float, float]]:
    """Return step, mean km and seconds since the start of every evaluation during training."""
    evaluations = []
    for entry in history:
        for split in splits_with(METRIC, EVAL, entry):
            km, elapsed_s = (float(entry[MetricName(EVAL, split, name).logged]) for name in (METRIC, "elapsed_s"))
            evaluations.append((entry["step"], km, elapsed_s))
    return evaluations


def _seconds(value: float | None, first: float | None) -> str:
    if value is None:
        return "not reached"
    return f"{value:,.0f} s" + (f" ({value / first:.2f}x)" if first else "")


if __name__ == "__main__":
    sys.exit(main())
