"""Probe every checkpoint of a run."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError

if TYPE_CHECKING:
    from trainers.probes.probe import ProbeResult
from trainers.common.files import write_json
from trainers.folders.run_folder import RunFolder


def probe_options(run: str) -> type:
    """The options of the probe that fits a run: its task's.

    Raises:
        UserError: no run is given, it is none, or its task declares no probe.
    """
    task = named_run(run).task
    if not task.probe:
        raise UserError(f"the task {task.name} declares no probe in its TASK, so there is nothing to fit")
    return task.load("probe").options


def named_run(run: str) -> RunFolder:
    """The run that `--run` means.

    Raises:
        UserError: none is given.
    """
    if not run:
        raise UserError("no run given; use --run with a run's folder, e.g. --run outputs/runs/distance-001")
    return RunFolder(Path(run).expanduser().resolve())


def probe_run(run: RunFolder, options: Any, compare: str | None = None) -> "tuple[Path, dict[int, ProbeResult]]":
    """Probe all checkpoints of a run, write and track what was found; return its folder, and step -> reading.

    Arguments:
        run: the run. options: of its task's probe. compare: another model's folder, for CKA.

    Raises:
        UserError: the run has no checkpoint, or its dataset is gone, or the options do not fit.
    """
    from trainers.folders import dataset_folder
    from trainers.probes import record
    from trainers.probes.hidden_states import extract_hidden_states, linear_cka

    task, checkpoints = run.task, run.checkpoints
    data = dataset_folder.load(run.dataset, task.name)
    if not checkpoints:
        raise UserError(f"{run.path} has no complete checkpoint to probe; train it further, or give another run")
    last = checkpoints[max(checkpoints)]
    other = Path(os.path.expanduser(compare)).resolve() if compare else last
    probe: Any = task.load("probe")(options, task, data, load_checkpoint(last).config.num_hidden_layers)
    what = (probe.prompts, probe.blocks, probe.tokens, probe.vocabulary)
    reference_NF = extract_hidden_states(load_checkpoint(other), *what).reshape(len(probe.prompts), -1)
    readings = {}
    for step, path in checkpoints.items():
        states_NLTD = extract_hidden_states(load_checkpoint(path), *what)
        reading, similarity = (
            probe.fit(states_NLTD),
            linear_cka(states_NLTD.reshape(len(states_NLTD), -1), reference_NF),
        )
        readings[step] = dataclasses.replace(reading, metrics={**reading.metrics, "cka": similarity})
        print(record.console_line(step, readings[step]), flush=True)
    suffix = f"to_{other.parent.name}_{other.name}" if compare else ""
    folder = run.probe_folder("-".join(filter(None, (probe.label, suffix))))
    record.write_results(folder, task.name, probe, readings)
    facts = {"options": dataclasses.asdict(options), "cka_to": str(other)}
    write_json(folder / "probe.json", facts)
    names = {"cka": f"cka_{suffix}"} if compare else {}  # the other metrics do not depend on --compare
    record.track_results(run.run_id, task.name, probe.label, readings, folder, names)
    return folder, readings


def load_checkpoint(folder: Path) -> Any:
    """The model in a checkpoint or run folder, on the accelerator if there is one."""
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # else every checkpoint shows a bar for its one file
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        return model.to(PartialState().device)
    except Exception as error:  # a damaged folder raises many kinds; all mean the same to the user
        raise UserError(f"the model in {folder} cannot be loaded: {str(error)[:200]}; give another one") from error
