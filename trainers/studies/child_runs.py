"""Train the runs of a study or sweep, each once, in a process of its own."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers import registry
from trainers.common import environment
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.settings.identity import differing_settings
from trainers.settings.request import read_request
from trainers.studies.study_file import SeededStudy, tokens_of

_RUN = environment.CODE / "trainers" / "run.py"
_STOPPING_S = 60.0  # time for an interrupted run to save a checkpoint and to end its MLflow run


def train_all(study: SeededStudy, folder: Path) -> dict[str, list[RunFolder]]:
    """Train what is not finished yet; return the runs of every name, one for each seed."""
    return {
        name: [train_run(folder / f"{name}-{seed}", {**flags, "seed": seed}) for seed in study.seeds]
        for name, flags in study.runs.items()
    }


def seeds_note(n_seeds: int) -> str:
    """Return the line below a table of means over seeds: how many, and what its "±" is."""
    if n_seeds == 1:
        return "one run of every model"
    return f"means over {n_seeds} seeds; ± is half of the difference between the largest and the smallest"


def train_run(folder: Path, flags: dict[str, Any]) -> RunFolder:
    """Train a run in `folder` unless it is finished there; return it.

    Raises:
        UserError: another run lies there, or the training failed.
    """
    code = train(folder, flags)
    if code != 0:
        raise UserError(f"the run {folder.name} ended with exit code {code} (its own words stand above)")
    return RunFolder(folder)


def train(folder: Path, flags: dict[str, Any], variables: Mapping[str, str] | None = None) -> int:
    """Train a run in `folder`, in a process of its own, unless it is finished there; return the exit code.

    Args:
        flags: For trainers/run.py.
        variables: Environment variables in addition to this process's own.

    Raises:
        UserError: another run lies there, or another process is writing this one.
    """
    argv = tokens_of({**flags, "output_dir": str(folder)})
    command = [sys.executable, str(_RUN), *argv]
    run = RunFolder(folder)
    if run.is_held():
        raise UserError(f"another process is writing the run {folder}; wait until it has ended, then start again")
    if run.has_marker:
        request = read_request(argv, registry.load)
        if run.has_started and (differing := differing_settings(request, run.settings)):
            raise UserError(
                f"{folder} was made with other settings ({', '.join(differing)}), by {run.marker.get('command')};"
                " give another --output_dir, or delete it"
            )
        if run.is_finished:
            print(f"finished already: {folder}", flush=True)
            return 0
        command += ["--resume_from_checkpoint", "last"] if run.last_checkpoint else ["--overwrite"]
    print(f"\n== {folder.name}: {shlex.join(argv)}", flush=True)
    return _exit_code(command, variables or {})


def _exit_code(command: list[str], variables: Mapping[str, str]) -> int:
    """Start a run and wait for it; if this process is interrupted, give the run time to end properly."""
    run = subprocess.Popen(command, cwd=environment.ROOT, env={**os.environ, **variables})
    try:
        return run.wait()
    except BaseException as stop:
        if not isinstance(stop, KeyboardInterrupt):  # Ctrl-C has reached the run too; a second signal would cut it off
            run.terminate()
        try:
            run.wait(_STOPPING_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            run.kill()
        raise
