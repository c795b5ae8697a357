"""Checkpoints of a run: which are whole, and which is the newest of these."""

import json
import zipfile
from pathlib import Path

from trainers.errors import UserError

STATE = "trainer_state.json"
"""The last file that a checkpoint gets."""


def damage_of(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, such as one that a kill cut in half; None if it is whole."""
    from safetensors import SafetensorError, safe_open

    if not (checkpoint / STATE).is_file():
        return f"it has no {STATE}, which is written last"
    try:
        int(json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["global_step"])
        dict(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
        with safe_open(checkpoint / "model.safetensors", "pt"):
            pass
        for path in checkpoint.glob("*.pt*"):  # optimizer, schedule, random numbers; a file cut off has no directory
            if not zipfile.is_zipfile(path):
                raise ValueError(f"{path.name} is cut off")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        return str(error)
    return None


def last_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint with the greatest step in a run's folder; newer ones that are damaged are named in print."""
    found = [path for path in folder.glob("checkpoint-*") if step_of(path).isdecimal()]
    for checkpoint in sorted(found, key=lambda path: int(step_of(path)), reverse=True):
        damage = damage_of(checkpoint)
        if damage is None:
            return checkpoint
        print(f"warning: {checkpoint} is not whole ({damage}); looking for the one before", flush=True)
    return None


def listed(folder: Path) -> str:
    """The names of a run's checkpoints, for a sentence."""
    return ", ".join(sorted(path.name for path in folder.glob("checkpoint-*"))) or "none"


def step_of(checkpoint: Path) -> str:
    """What stands behind `checkpoint-`."""
    return checkpoint.name.removeprefix("checkpoint-")


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
