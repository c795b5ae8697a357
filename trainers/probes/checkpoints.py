"""Probe every checkpoint of a run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common.files import write_json
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder

if TYPE_CHECKING:
    from trainers.probes.probe import ProbeResult


def probe_options(run: str) -> type:
    """Return the options class of the probe of a run's task.

    Raises:
        UserError: no run is given, the folder is none, or its task declares no probe.
    """
    task = named_run(run).task
    if not task.probe:
        raise UserError(f"the task {task.name} declares no probe in its TASK, so there is nothing to fit")
    return task.load("probe").options


def named_run(run: str) -> RunFolder:
    """Return the run that `--run` means.

    Raises:
        UserError: none is given.
    """
    if not run:
        raise UserError("no run given; use --run with a run's folder, e.g. --run outputs/runs/distance-001")
    return RunFolder(Path(run).expanduser().resolve())


def probe_run(run: RunFolder, options: Any, compare: str | None = None) -> "tuple[Path, dict[int, ProbeResult]]":
    """Probe all checkpoints of a run, write and track the results; return their folder, and results by step.

    Args:
        options: Of the probe of the run's task.
        compare: Folder of another model, for linear CKA to it instead of to the last checkpoint.

    Raises:
        UserError: the run has no checkpoint, its dataset is gone, or the options do not fit.
    """
    from trainers.folders import dataset_folder
    from trainers.probes import record
    from trainers.probes.hidden_states import linear_cka

    task, checkpoints = run.task, run.checkpoints
    data = dataset_folder.load(run.dataset, task.name)
    if not checkpoints:
        raise UserError(f"{run.path} has no complete checkpoint to probe; train it further, or give another run")
    last = checkpoints[max(checkpoints)]
    other = Path(compare).expanduser().resolve() if compare else last
    probe: Any = task.load("probe")(options, task, data, load_checkpoint(last).config.num_hidden_layers)
    reference_NF = probe.states(load_checkpoint(other)).reshape(len(probe.prompts), -1)
    results = {}
    for step, path in checkpoints.items():
        states_NLTD = probe.states(load_checkpoint(path))
        result: ProbeResult = probe.fit(states_NLTD)
        cka = linear_cka(states_NLTD.reshape(len(states_NLTD), -1), reference_NF)
        results[step] = dataclasses.replace(result, metrics={**result.metrics, "cka": cka})
        print(record.console_line(step, results[step]), flush=True)
    suffix = f"to_{other.parent.name}_{other.name}" if compare else ""
    folder = run.probe_folder("-".join(filter(None, (probe.label, suffix))))
    record.write_results(folder, task.name, probe, results)
    write_json(folder / "probe.json", {"options": dataclasses.asdict(options), "cka_to": str(other)})
    names = {"cka": f"cka_{suffix}"} if compare else {}  # the other metrics do not depend on --compare
    record.track_results(run.run_id, task.name, probe.label, results, folder, names)
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
