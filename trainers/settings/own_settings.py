"""Read the settings of an earlier run: of the one that is resumed, or of the one that `--config` names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.settings.layers import Layer
from trainers.settings.run_options import PLACEMENT, REFUSED


def resumed_run(command_line: Layer) -> RunFolder | None:
    """Return the run that a command line resumes; None if it starts one, or names no run (which is refused later)."""
    resume = " ".join(command_line.get("resume_from_checkpoint", []))
    if not resume:
        return None
    output_dir = command_line.get("output_dir")
    named = Path(os.path.expanduser(output_dir[0] if output_dir else resume))  # unlike Path.expanduser it never raises
    if not named.exists() and "task" not in command_line and "config" not in command_line:
        flag = "output_dir" if output_dir else "resume_from_checkpoint"
        raise UserError(f"--{flag}: there is no folder {named}; give the folder of a run, or one of its checkpoints")
    run = RunFolder(named) if output_dir else RunFolder.of_model(named)
    if run and run.has_marker and not run.has_started and "task" not in command_line and "config" not in command_line:
        raise UserError(f"{run.path} has lost its settings.json, by which it goes on; restore it, or type its settings")
    return run if run and run.has_started else None


def run_of_config(path: Path) -> RunFolder | None:
    """Return the run whose folder, or `settings.json`, is given as `--config`; None if it is another file."""
    folder = path if path.is_dir() else path.parent
    run = RunFolder(folder)
    return run if run.has_started and (path.is_dir() or path.suffix == ".json") else None


def kept_settings(settings: Mapping[str, Any]) -> Layer:
    """Return what was given for a run, and the precision in which it has computed, on whatever machine."""
    given = given_settings(settings)
    given.pop("bf16", None)
    is_bfloat16 = settings.get("resolved", {}).get("bf16", False)
    return {**given, "precision": ["bfloat16" if is_bfloat16 else "float32"]}


def given_settings(settings: Mapping[str, Any]) -> Layer:
    """Return what was given for a run, from any source, but where it was written and how it was started.

    Raises:
        UserError: `settings` is not the content of a run's `settings.json`.
    """
    try:
        given = {name: flag["value"] for name, flag in settings["given"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError("settings.json of the run does not list what was given; start a new run") from error
    if "task" not in given:
        raise UserError("settings.json of the run gives no task; restore it, or start a new run")
    if wrong := [name for name, value in given.items() if not _is_typed(value)]:
        raise UserError(f"settings.json of the run gives {wrong[0]} {given[wrong[0]]!r}, no texts; restore it")
    kept = {name: value for name, value in given.items() if name not in PLACEMENT and name not in REFUSED}
    return {name: [value] if isinstance(value, str) else value for name, value in kept.items()}


def _is_typed(value: Any) -> bool:
    """Return whether a value is one that could have been typed: a text, or some."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(part, str) for part in value))
