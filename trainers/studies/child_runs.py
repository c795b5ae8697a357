"""Train the runs of a study or sweep, each once, in a process of its own, several at a time."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers import registry
from trainers.common import environment
from trainers.common.environment import RUNS_VARIABLE
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.settings.identity import differing_settings
from trainers.settings.request import read_request
from trainers.studies.study_file import tokens_of
from trainers.tracking.mlflow_runs import PARENT_VARIABLE

_RUN = environment.CODE / "trainers" / "run.py"
_STOPPING_S = 60.0  # time for an interrupted run to save a checkpoint and to end its MLflow run
_POLL_S = 0.05
_TAIL = 15  # lines of the words of a failed run


@dataclass
class ChildOptions:
    """Which runs are trained, and how many at a time."""

    seeds: str | None = option(None, "train with several seeds: how many (3 is 1, 2 and 3), or which ones: 7,11")
    parallel: int = option(1, "runs that are trained at once, each with its share of the cores", least=1)
    stop_on_failure: bool = option(False, "start no further run once one has failed")

    def __post_init__(self) -> None:
        """Raise a `UserError` if there are fewer cores than runs that are to be trained at once."""
        if self.parallel > (n_cores := environment.count_cores()):
            raise UserError(f"--parallel is {self.parallel}, and there are {n_cores} cores; give at most {n_cores}")


def train_all(jobs: Mapping[Path, Mapping[str, Any]], options: ChildOptions, parent_id: str) -> dict[Path, int]:
    """Train runs that are not finished yet; return the exit codes of all that were started or finished before.

    Args:
        jobs: Folder -> flags for trainers/run.py.
        options: Their `seeds` are not looked at.
        parent_id: The MLflow run below which they are shown.

    Raises:
        UserError: another run lies in one of the folders, or another process is writing it.
    """
    commands = {folder: command_of(folder, flags) for folder, flags in jobs.items()}  # before anything starts
    codes: dict[Path, int] = {}
    with ChildProcesses(options.parallel, parent_id) as children:
        for folder, command in commands.items():
            codes |= children.ended(options.parallel - 1)
            if options.stop_on_failure and any(codes.values()):
                break
            children.start(folder, command)
        codes |= children.ended()
    return codes


def command_of(folder: Path, flags: Mapping[str, Any]) -> list[str]:
    """Return the command that trains a run in `folder`, or goes on with it; nothing if it is finished.

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
            return []
        command += ["--resume_from_checkpoint", "last"] if run.last_checkpoint else ["--overwrite"]
    return command


class ChildProcesses:
    """Processes of runs; those that still go on when the context is left are given time to end properly.

    One run at a time writes to the terminal; of several, each writes to `<folder>.log`.
    """

    def __init__(self, parallel: int, parent_id: str) -> None:
        self._parallel = parallel
        self._variables = {**os.environ, PARENT_VARIABLE: parent_id, RUNS_VARIABLE: str(parallel)}
        self._running: dict[Path, subprocess.Popen[Any]] = {}
        self._finished: list[Path] = []

    def __enter__(self) -> "ChildProcesses":
        return self

    def start(self, folder: Path, command: list[str]) -> None:
        """Start a command; an empty one is that of a run that is finished."""
        if not command:
            print(f"finished already: {folder}", flush=True)
            self._finished.append(folder)
            return
        print(f"\n== {folder.name}: {shlex.join(command[2:])}", flush=True)
        if self._parallel == 1:
            self._running[folder] = subprocess.Popen(command, env=self._variables)
            return
        with _log_of(folder).open("ab") as log:
            outputs = {"stdout": log, "stderr": subprocess.STDOUT}
            self._running[folder] = subprocess.Popen(command, env=self._variables, **outputs)

    def ended(self, n_left: int = 0) -> Iterator[tuple[Path, int]]:
        """Yield folder and exit code of runs that have ended, until at most `n_left` go on."""
        while self._finished:
            yield self._finished.pop(), 0
        while len(self._running) > n_left:
            codes = {folder: process.poll() for folder, process in self._running.items()}
            for folder, code in codes.items():
                if code is not None:
                    del self._running[folder]
                    self._say_end(folder, code)
                    yield folder, code
            time.sleep(0 if any(code is not None for code in codes.values()) else _POLL_S)

    def _say_end(self, folder: Path, code: int) -> None:
        """Say how a run ended whose own words went into a file."""
        if self._parallel > 1:
            lines = _log_of(folder).read_text(encoding="utf-8", errors="replace").splitlines()
            how = "finished" if code == 0 else f"ended with exit code {code}; its last words:"
            print("\n".join([f"{folder.name}: {how}", *(lines[-_TAIL:] if code else [])]), flush=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._running.values():
            if kind is not KeyboardInterrupt:  # Ctrl-C has reached the runs too; a second signal would cut them off
                process.terminate()
        deadline_s = time.monotonic() + _STOPPING_S
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()


def _log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")
