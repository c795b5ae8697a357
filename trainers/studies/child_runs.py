"""One run of a study or sweep: the command that trains it or goes on with it, its process, and what it prints."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers import registry
from trainers.common import environment
from trainers.common.processes import PARENT_PID
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.settings.identity import differing_settings
from trainers.settings.request import read_request
from trainers.studies.study_file import tokens_of

_RUN = environment.CODE / "trainers" / "run.py"
_ENDING_S = 60.0  # a run whose command was killed saves a checkpoint, then ends too
_POLL_S = 0.2


def command_of(folder: Path, flags: Mapping[str, Any]) -> list[str]:
    """Return the command that trains a run in `folder`, or goes on with it; nothing if it is finished.

    Raises:
        UserError: another run lies there, or another process is writing this one.
    """
    argv = tokens_of({**flags, "output_dir": str(folder)})
    command = [sys.executable, str(_RUN), *argv]
    run = RunFolder(folder)
    if run.has_marker:
        request = read_request(argv, registry.load)
        if run.has_started and (differing := differing_settings(request, run.settings)):
            raise UserError(
                f"{folder} was made with other settings ({', '.join(differing)}), by {run.marker.get('command')};"
                " give another --output_dir, or delete it"
            )
        if run.is_finished:
            return []
        command += ["--resume_from_checkpoint", "last"] if run.last_checkpoint else ["--overwrite"]
    return command


def wait_until_free(folder: Path) -> None:
    """Wait for the process that is writing a run, which ends soon if it is of a command that was killed.

    Raises:
        UserError: it goes on.
    """
    deadline_s = time.monotonic() + _ENDING_S
    is_said = False
    while RunFolder(folder).is_held():
        if time.monotonic() >= deadline_s:
            raise UserError(f"another process is writing the run {folder}; wait until it has ended, then start again")
        if not is_said:
            print(f"waiting for the process that is writing {folder}", flush=True)
        is_said = True
        time.sleep(_POLL_S)


def start_process(command: list[str], variables: Mapping[str, str], **outputs: Any) -> "subprocess.Popen[Any]":
    """Start a process with more environment variables, which ends when this one does."""
    own = {**os.environ, **variables, PARENT_PID: str(os.getpid())}
    return subprocess.Popen(command, env=own, **outputs)


def log_of(folder: Path) -> Path:
    """Return the file for what a run prints that does not write to the terminal."""
    return folder.with_name(f"{folder.name}.log")
