"""Check that a checkpoint is complete, and read its Trainer's state."""

import json
import zipfile
from pathlib import Path
from typing import Any

from trainers.common.files import read_json
from trainers.errors import UserError

STATE = "trainer_state.json"
"""The last file that a checkpoint gets."""


_NEEDED = (("optimizer.pt", "optimizer.bin", "optimizer_0"), ("scheduler.pt",), ("rng_state.pth", "rng_state_0.pth"))
"""What going on needs besides the model, each under the names it has on one process, on several, or under FSDP."""


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the Trainer's state in a complete checkpoint: `global_step`, `log_history` and the like.

    Raises:
        UserError: the file is damaged.
    """
    needed, known = {"global_step": int, "log_history": list}, {"best_global_step": int | None}
    return read_json(checkpoint / STATE, "restore it, or use another", needed, known)


def damage_of(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, such as one that a kill cut off; None if it is complete."""
    from safetensors import SafetensorError, safe_open

    if not (checkpoint / STATE).is_file():
        return f"it has no {STATE}, which is written last"
    for names in _NEEDED:
        if not any((checkpoint / name).exists() for name in names):
            return f"it has no {names[0]}, as after --save_only_model; its weights alone serve as --init_from"
    try:
        read_state(checkpoint)
        dict(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
        with safe_open(checkpoint / "model.safetensors", "pt"):
            pass
        for path in checkpoint.glob("*.pt*"):  # optimizer, schedule, random numbers; a file cut off has no directory
            if not zipfile.is_zipfile(path):
                raise ValueError(f"{path.name} is cut off")
    except (UserError, OSError, ValueError, TypeError, SafetensorError) as error:
        return str(error)
    return None
