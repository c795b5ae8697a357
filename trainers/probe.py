"""Probe every checkpoint of a run: what can be read from its hidden states, as table, curves, map and animation.

    python -m trainers.probe --run outputs/runs/distance-001 --protocol seed

Everything goes to `<run>/probe/<label>/` and into the run's MLflow record. Linear CKA to the run's own last checkpoint
is measured too, or with --compare to another model (a run's folder or one of its checkpoints).
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import environment
from trainers.errors import UserError, exit_code_of
from trainers.options import option

if TYPE_CHECKING:
    from trainers.probing import Reading


@dataclass
class ProbeRunOptions:
    """Which run is probed."""

    run: str = option("", "folder of a run")
    compare: str | None = option(None, "another model, to which every checkpoint's linear CKA is measured")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return exit_code_of(lambda: _probe(argv))


def _probe(argv: Sequence[str]) -> None:
    environment.set_up()
    import tasks
    from trainers import guards, usage
    from trainers.layers import flags_of

    wants_help = bool({"-h", "--help"} & set(argv))
    flags = flags_of([token for token in argv if token not in ("-h", "--help")])
    if not flags.get("run"):
        if wants_help:
            print(
                f"{__doc__}\n{usage.table(ProbeRunOptions)}\n\nWith --run, --help shows the flags of its task's probe."
            )
            return
        raise UserError("no run given; use --run with a run's folder, e.g. --run outputs/runs/distance-001")
    folder = Path(os.path.expanduser(flags["run"][0])).resolve()
    marker = guards.read_marker(folder)
    task = tasks.load(marker.get("package") or marker["task"])
    if not task.probe:
        raise UserError(f"the task {task.name} declares no probe in its TASK, so there is nothing to fit")
    probe_class: Any = task.load("probe")
    if wants_help:
        print(f"{__doc__}\n{usage.table(ProbeRunOptions)}\n{usage.table(probe_class.options)}")
        return
    from trainers.arguments import read_command

    given, options = read_command(flags, ProbeRunOptions, probe_class.options)
    written, _ = probe_run(folder, options, given.compare)
    print(f"written: {written}")


def probe_run(run: Path, options: Any, compare: str | None = None) -> "tuple[Path, dict[int, Reading]]":
    """Probe all checkpoints of a run, write and track what was found; return its folder, and step -> reading.

    Arguments:
        run: a run's folder. options: of its task's probe. compare: another model's folder, for CKA.

    Raises:
        UserError: the run has no checkpoint, or its dataset is gone, or the options do not fit.
    """
    import tasks
    from trainers import guards, probe_record, storage
    from trainers.probing import hidden_states, linear_cka

    marker = guards.read_marker(run)
    task = tasks.load(marker.get("package") or marker["task"])
    data = storage.load(dataset_folder(run), task.name)
    checkpoints = checkpoints_of(run)
    last = checkpoints[max(checkpoints)]
    other = Path(os.path.expanduser(compare)).resolve() if compare else last
    probe: Any = task.load("probe")(options, data, load_checkpoint(last).config.num_hidden_layers)
    what = (probe.prompts, probe.blocks, probe.tokens)
    reference_NF = hidden_states(load_checkpoint(other), *what).reshape(len(probe.prompts), -1)
    readings = {}
    for step, path in checkpoints.items():
        states_NLTD = hidden_states(load_checkpoint(path), *what)
        reading, similarity = (
            probe.fit(states_NLTD),
            linear_cka(states_NLTD.reshape(len(states_NLTD), -1), reference_NF),
        )
        readings[step] = dataclasses.replace(reading, metrics={**reading.metrics, "cka": similarity})
        print(probe_record.line(step, readings[step].metrics), flush=True)
    suffix = f"to_{other.parent.name}_{other.name}" if compare else ""
    folder = run / "probe" / "-".join(filter(None, (probe.label, suffix)))
    probe_record.write(folder, task.name, probe, readings)
    facts = {"options": dataclasses.asdict(options), "cka_to": str(other)}
    guards.write_json(folder / "probe.json", facts)
    names = {"cka": f"cka_{suffix}"} if compare else {}  # the other metrics do not depend on --compare
    probe_record.track(marker.get("mlflow_run_id"), task.name, probe.label, readings, folder, names)
    return folder, readings


def checkpoints_of(run: Path) -> dict[int, Path]:
    """Step -> folder of every complete checkpoint of a run, ascending.

    Raises:
        UserError: there is none.
    """
    complete = [path.parent for path in run.glob("checkpoint-*/trainer_state.json")]
    steps = {path.name.removeprefix("checkpoint-"): path for path in complete}
    found = {int(step): path for step, path in steps.items() if step.isdecimal()}
    if not found:
        raise UserError(f"{run} has no complete checkpoint to probe; train it further, or give another run")
    return dict(sorted(found.items()))


def dataset_folder(run: Path) -> Path:
    """The dataset that a run was trained on."""
    try:
        return Path(json.loads((run / "settings.json").read_text(encoding="utf-8"))["dataset_folder"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{run} does not say which dataset it was trained on (settings.json: {error})") from error


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


if __name__ == "__main__":
    sys.exit(main())
