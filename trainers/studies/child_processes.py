"""Train the runs of a study or sweep, each once, in a process or Slurm job of its own, several at a time."""

import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.common.environment import RUNS_VARIABLE
from trainers.errors import UserError
from trainers.options import option
from trainers.studies import slurm_jobs
from trainers.studies.child_runs import command_of, log_of, start_process, wait_until_free
from trainers.tracking.mlflow_runs import PARENT_VARIABLE

_STOPPING_S = 60.0  # time for an interrupted run to save a checkpoint and to end its MLflow run
_POLL_S = 0.05
_TAIL = 15  # lines of the words of a failed run


@dataclass
class ChildOptions:
    """Which runs are trained, how many at a time, and where."""

    seeds: str | None = option(None, "train with several seeds: how many (3 is 1, 2 and 3), or which ones: 7,11")
    parallel: int = option(1, "runs that are trained at once, here each with its share of the cores", least=1)
    stop_on_failure: bool = option(False, "start no further run once one has failed")
    slurm: str | None = option(None, "train every run as a Slurm job, of this kind: timeout_min=60,partition=gpu")

    def __post_init__(self) -> None:
        """Raise a `UserError` if this machine has fewer cores than runs at once, or jobs cannot be had."""
        if self.slurm is not None:
            slurm_jobs.check(self.slurm)
        elif self.parallel > (n_cores := environment.count_cores()):
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
    codes: dict[Path, int] = {}
    with ChildProcesses(options, parent_id) as children:
        for folder, flags in jobs.items():
            children.command(folder, flags)  # what is wrong is said before anything starts
        for folder, flags in jobs.items():
            codes |= children.ended(options.parallel - 1)
            if options.stop_on_failure and any(codes.values()):
                break
            children.start(folder, flags)
        codes |= children.ended()
    return codes


class ChildProcesses:
    """Processes of runs; those that still go on when the context is left are given time to end properly.

    One run at a time on this machine writes to the terminal; of several, and of Slurm jobs, each to `<folder>.log`.
    """

    def __init__(self, options: ChildOptions, parent_id: str) -> None:
        self._slurm, self._parallel = options.slurm, options.parallel
        self._is_logged = self._parallel > 1 or self._slurm is not None
        runs_at_once = "1" if self._slurm else str(self._parallel)  # a job has its cores for itself
        self._variables = {PARENT_VARIABLE: parent_id, RUNS_VARIABLE: runs_at_once}
        self._running: dict[Path, subprocess.Popen[Any] | slurm_jobs.SlurmJob] = {}
        self._finished: list[Path] = []

    def __enter__(self) -> "ChildProcesses":
        return self

    def command(self, folder: Path, flags: Mapping[str, Any]) -> list[str]:
        """Return the command of `command_of`, once no other process is writing the run."""
        if self._slurm:
            slurm_jobs.check_queue(folder)
        wait_until_free(folder)
        return command_of(folder, flags)

    def start(self, folder: Path, flags: Mapping[str, Any]) -> None:
        """Start a run, or go on with it, unless it is finished."""
        command = self.command(folder, flags)
        if not command:
            print(f"finished already: {folder}", flush=True)
            self._finished.append(folder)
            return
        print(f"\n== {folder.name}: {shlex.join(command[2:])}", flush=True)
        if self._slurm:
            self._running[folder] = slurm_jobs.submit(folder, flags, self._variables, self._slurm)
        elif self._is_logged:
            with log_of(folder).open("ab") as log:
                self._running[folder] = start_process(command, self._variables, stdout=log, stderr=subprocess.STDOUT)
        else:
            self._running[folder] = start_process(command, self._variables)

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
        if self._is_logged:
            lines = log_of(folder).read_text(encoding="utf-8", errors="replace").splitlines()
            how = "finished" if code == 0 else f"ended with exit code {code}; its last words:"
            print("\n".join([f"{folder.name}: {how}", *(lines[-_TAIL:] if code else [])]), flush=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Ctrl-C has reached the processes of this machine too; a second signal would cut them off.
        if kind is not KeyboardInterrupt or self._slurm:
            for process in self._running.values():
                process.terminate()
        deadline_s = time.monotonic() + _STOPPING_S
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
