"""Probe every checkpoint of a run; write and track the results: table, curves, map, animation."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import figures
from trainers.common.files import write_csv, write_json, write_text
from trainers.common.tables import format_number
from trainers.errors import UserError, name_flags
from trainers.folders.run_folder import RunFolder, named_run
from trainers.tracking.mlflow_runs import own_run
from trainers.tracking.mlflow_store import open_store
from trainers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from trainers.probes.probe import Probe, ProbeResult


def probe_options(run: str) -> type:
    """Return the options class of the probe of a run's task.

    Raises:
        UserError: no run is given, the folder is none, or its task declares no probe.
    """
    task = named_run(run).task
    if not task.probe:
        raise UserError(f"the task {task.name} declares no probe in its TASK, so there is nothing to fit")
    return task.load("probe").options


def probe_run(run: RunFolder, options: Any, compare: str | None = None) -> "tuple[Path, dict[int, ProbeResult]]":
    """Probe all checkpoints of a run, write and track the results; return their folder, and results by step.

    Args:
        options: Of the probe of the run's task.
        compare: Folder of another model, for linear CKA to it instead of to the last checkpoint.

    Raises:
        UserError: the run has no checkpoint, its dataset is gone, or the options do not fit.
    """
    from trainers.folders.run_dataset import own_dataset
    from trainers.folders.worlds import check_world
    from trainers.probes.probe import linear_cka

    task, checkpoints = run.task, run.checkpoints
    data = own_dataset(run)
    if not checkpoints:
        raise UserError(f"{run.path} has no complete checkpoint to probe; train it further, or give another run")
    last = checkpoints[max(checkpoints)]
    other = Path(os.path.expanduser(compare)).resolve() if compare else last
    check_world("--compare", other, data)
    probe: Any = task.load("probe")(options, task, data, load_checkpoint(last).config.num_hidden_layers)
    with name_flags("compare"):
        compared = load_checkpoint(other)
    reference_NF = probe.states(compared).reshape(len(probe.prompts), -1)
    results = {}
    for step, path in checkpoints.items():
        states_NLTD = probe.states(load_checkpoint(path))
        result: ProbeResult = probe.fit(states_NLTD)
        cka = linear_cka(states_NLTD.reshape(len(states_NLTD), -1), reference_NF)
        results[step] = dataclasses.replace(result, metrics={**result.metrics, "cka": cka})
        print(console_line(step, results[step]), flush=True)
    suffix = f"to_{other.parent.name}_{other.name}" if compare else ""
    folder = run.probe_folder("-".join(filter(None, (probe.label, suffix))))
    _write_results(folder, task.name, probe, results)
    write_json(folder / "probe.json", {"options": dataclasses.asdict(options), "cka_to": str(other)})
    names = {"cka": f"cka_{suffix}"} if compare else {}  # the other metrics do not depend on --compare
    flat = {step: result.flat() for step, result in results.items()}
    curves = {name: {step: values[name] for step, values in flat.items()} for name in flat[max(flat)]}
    _track_results(run, {f"probe_{probe.label}/{names.get(n, n)}": values for n, values in curves.items()}, folder)
    return folder, results


def load_checkpoint(folder: Path) -> Any:
    """Return the model in a checkpoint or run folder, on the accelerator if there is one.

    Raises:
        UserError: it cannot be loaded.
    """
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # else every checkpoint shows a bar for its one file
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        return model.to(PartialState().device)
    except Exception as error:  # a damaged folder raises many kinds; all mean the same to the user
        raise UserError(f"the model in {folder} cannot be loaded: {str(error)[:200]}; give another one") from error


def console_line(step: int, result: "ProbeResult") -> str:
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


def tracker_of(run: RunFolder) -> Tracker | None:
    """Return what writes to the MLflow run of a run; None, which is said, where it has none."""
    open_store(run.task.name)
    found, why = own_run(run.run_id, run.path) if run.run_id else (None, "there is none")
    if found is None:
        print(f"not tracked: the MLflow run {run.run_id or ''} {why}", flush=True)
        return None
    return Tracker(found.info.run_id)


def _write_results(folder: Path, task_name: str, probe: "Probe", results: "Mapping[int, ProbeResult]") -> None:
    """Write `probe.csv`, `probe_curves.png`, `probe_map.png` (last step), `.gif` and `.html` of results by step."""
    folder.mkdir(parents=True, exist_ok=True)
    maps = [result.draw(title(task_name, step)) for step, result in results.items()]
    figures.save_figure(maps[-1], folder / "probe_map.png")
    figures.save_figure(probe.draw_curves(list(results), list(results.values())), folder / "probe_curves.png")
    figures.save_animation(maps, folder / "probe_map.gif")
    if page := probe.draw_page(results):
        write_text(folder / "probe_map.html", page)
    write_csv(folder / "probe.csv", [{"step": step, **result.flat()} for step, result in results.items()])


def _track_results(run: RunFolder, curves: Mapping[str, Mapping[int, float]], folder: Path) -> None:
    """Add curves (metric -> step -> value) and the files of a folder to the MLflow run; points it has are left out."""
    if (tracker := tracker_of(run)) is None:
        return
    for name, values in curves.items():
        known = {point.step for point in tracker.client.get_metric_history(tracker.run_id, name)}
        for step in sorted(set(values) - known):
            tracker.metrics({name: values[step]}, step)
    tracker.flush()
    for path in sorted(folder.iterdir()):
        tracker.file(path, f"probe/{folder.name}")
