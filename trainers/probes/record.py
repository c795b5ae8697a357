"""What a probe found, on disk and in MLflow: table, curves, map, animation; and a callback that probes in training."""

from collections.abc import Mapping
from pathlib import Path

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.tables import format_number
from trainers.probes.probe import Probe, ProbeResult
from trainers.tracking.mlflow_store import open_store
from trainers.tracking.tracker import Tracker


def console_line(step: int, result: ProbeResult) -> str:
    """One line for the console, with each metric's baseline; single groups and training cities are left out."""
    shown = {n: v for n, v in result.metrics.items() if not n.startswith("train_")}
    shown = {n: v for n, v in shown.items() if not any(n.startswith(f"{other}_") for other in shown)}
    texts = []
    for name, value in shown.items():
        baseline = result.baselines.get(name, {}).get("")
        compared = "" if baseline is None else f" (trivial baseline {format_number(baseline)})"
        texts.append(f"{name} {format_number(value)}{compared}")
    return f"probe at step {step:,}: " + "  ".join(texts)


def write_results(folder: Path, task_name: str, probe: Probe, readings: Mapping[int, ProbeResult]) -> None:
    """Write `probe.csv`, `probe_curves.png`, `probe_map.png` (last step) and `probe_map.gif`."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max(readings)
    drawn = {step: reading.draw(title(task_name, step)) for step, reading in readings.items()}
    figures.save_figure(drawn[last], folder / "probe_map.png")
    figures.save_figure(probe.draw_curves(list(readings), list(readings.values())), folder / "probe_curves.png")
    figures.save_animation(list(drawn.values()), folder / "probe_map.gif")
    write_csv(folder / "probe.csv", [{"step": step, **reading.flat()} for step, reading in readings.items()])


def track_results(
    run_id: str | None,
    experiment: str,
    label: str,
    readings: Mapping[int, ProbeResult],
    folder: Path,
    renamed: Mapping[str, str],
) -> None:
    """Add the readings as `probe_<label>/<name>`, and the files, to the run's record.

    Points that are there already are not logged again. Metrics in `renamed` have another name there.
    """
    from mlflow import MlflowException

    open_store(experiment)
    if run_id is None:
        print("not tracked: the run has no MLflow run", flush=True)
        return
    tracker = Tracker(run_id)
    try:
        tracker.client.get_run(run_id)
    except MlflowException:
        print(f"not tracked: MLflow's store has no run {run_id}", flush=True)
        return
    names = {f"probe_{label}/{renamed.get(name, name)}": name for name in next(iter(readings.values())).flat()}
    for tracked_name, name in names.items():
        known = {point.step for point in tracker.client.get_metric_history(run_id, tracked_name)}
        for step in sorted(set(readings) - known):
            tracker.metrics({tracked_name: readings[step].flat()[name]}, step)
    tracker.flush()
    for path in sorted(folder.iterdir()):
        tracker.file(path, f"probe/{folder.name}")


def title(task_name: str, step: int) -> str:
    """Return the title of a map that a probe draws."""
    return f"{task_name}: cities decoded at step {step:,}"
