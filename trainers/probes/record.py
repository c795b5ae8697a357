"""Write and track the results of a probe: table, curves, map, animation."""

from collections.abc import Mapping
from pathlib import Path

from trainers.common import figures
from trainers.common.files import write_csv
from trainers.common.tables import format_number
from trainers.probes.probe import Probe, ProbeResult
from trainers.tracking.mlflow_store import open_store
from trainers.tracking.tracker import Tracker


def console_line(step: int, result: ProbeResult) -> str:
    """Return one line of metrics with their baselines, without single groups and training cities."""
    shown = {n: v for n, v in result.metrics.items() if not n.startswith("train_")}
    shown = {n: v for n, v in shown.items() if not any(n.startswith(f"{other}_") for other in shown)}
    texts = []
    for name, value in shown.items():
        baseline = result.baselines.get(name, {}).get("")
        compared = "" if baseline is None else f" (trivial baseline {format_number(baseline)})"
        texts.append(f"{name} {format_number(value)}{compared}")
    return f"probe at step {step:,}: " + "  ".join(texts)


def title(task_name: str, step: int) -> str:
    """Return the title of a map that a probe draws."""
    return f"{task_name}: cities decoded at step {step:,}"


def write_results(folder: Path, task_name: str, probe: Probe, results: Mapping[int, ProbeResult]) -> None:
    """Write `probe.csv`, `probe_curves.png`, `probe_map.png` (last step) and `probe_map.gif` of results by step."""
    folder.mkdir(parents=True, exist_ok=True)
    maps = [result.draw(title(task_name, step)) for step, result in results.items()]
    figures.save_figure(maps[-1], folder / "probe_map.png")
    figures.save_figure(probe.draw_curves(list(results), list(results.values())), folder / "probe_curves.png")
    figures.save_animation(maps, folder / "probe_map.gif")
    write_csv(folder / "probe.csv", [{"step": step, **result.flat()} for step, result in results.items()])


def track_results(
    run_id: str | None,
    experiment: str,
    label: str,
    results: Mapping[int, ProbeResult],
    folder: Path,
    renamed: Mapping[str, str],
) -> None:
    """Add results by step as `probe_<label>/<name>`, and the files of a folder, to an MLflow run.

    Points that are there already are not logged again.

    Args:
        renamed: Metric -> name in MLflow, where it is another one.
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
    for name in next(iter(results.values())).flat():
        tracked = f"probe_{label}/{renamed.get(name, name)}"
        known = {point.step for point in tracker.client.get_metric_history(run_id, tracked)}
        for step in sorted(set(results) - known):
            tracker.metrics({tracked: results[step].flat()[name]}, step)
    tracker.flush()
    for path in sorted(folder.iterdir()):
        tracker.file(path, f"probe/{folder.name}")
