"""Train runs as Slurm jobs through submitit, each of which goes on by itself when its time is over."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError, suggest
from trainers.studies.child_runs import command_of, log_of, start_process, wait_until_free

if TYPE_CHECKING:
    from submitit import Job
    from submitit.helpers import DelayedSubmission

CLUSTER = "slurm"
"""Submitit's name of where jobs are run; `local` are processes of this machine, for tests."""
PARAMETERS = {
    "timeout_min": int,
    "cpus_per_task": int,
    "gpus_per_node": int,
    "mem_gb": float,
    "partition": str,
    "account": str,
    "qos": str,
    "constraint": str,
    "gres": str,
    "exclude": str,
    "nodelist": str,
    "signal_delay_s": int,
}
"""What `--slurm` takes, and of which type."""
_OF_EVERY_CLUSTER = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")  # submitit wants a prefix for the rest
_SUBMITIT = "submitit"  # folder of its files
_HANDED_ON = ("EXP_DIR_PREFIX", "MLFLOW_TRACKING_URI")  # where a cluster does not hand on the environment
_POLL_S = 2.0


def check(text: str) -> None:
    """Raise a `UserError` unless jobs can be submitted with what `--slurm` says."""
    import submitit  # noqa: F401 (that it lacks is said before anything starts)

    read_parameters(text)
    if CLUSTER == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError(
            "--slurm: there is no sbatch on this machine; type the command where jobs are submitted, or leave it out"
        )


def read_parameters(text: str) -> dict[str, Any]:
    """Return what `--slurm` says in the names of submitit.

    Raises:
        UserError: a parameter is unknown, or has no value of its type, or the time is not among them.
    """
    found: dict[str, Any] = {}
    for item in text.split(","):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in PARAMETERS or name in found or not value:
            what = f"has {name} twice" if name in found else f"has {item.strip()!r}"
            raise UserError(
                f"--slurm {what}; give name=value of {', '.join(PARAMETERS)}, each once, with commas between."
                f"{suggest(name, PARAMETERS)}"
            )
        try:
            found[name] = PARAMETERS[name](value)
        except ValueError:
            found[name] = -1
        if PARAMETERS[name] is not str and not 0 < found[name] < float("inf"):
            raise UserError(f"--slurm has {name}={value}; give a number greater than 0")
    if "timeout_min" not in found:
        raise UserError("--slurm has no timeout_min; say how many minutes a job may take, e.g. timeout_min=60")
    return {name if name in _OF_EVERY_CLUSTER else f"slurm_{name}": value for name, value in found.items()}


def check_queue(folder: Path) -> None:
    """Raise a `UserError` if a job of an earlier start trains a run: on another machine its lock may not be seen."""
    if CLUSTER != "slurm":
        return
    asked = ["squeue", "--noheader", "--format=%i", f"--name={_name(folder)}"]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"--slurm: squeue cannot say which jobs go on ({done.stderr.strip()[:200]}); try again")
    if ids := done.stdout.split():
        raise UserError(f"Slurm job {', '.join(ids)} trains {folder} already; wait for it, or end it: scancel {ids[0]}")


def submit(folder: Path, flags: Mapping[str, Any], variables: Mapping[str, str], text: str) -> "SlurmJob":
    """Submit the job that trains a run.

    Args:
        folder, flags: As of `command_of`.
        variables: Environment variables of the run.
        text: What `--slurm` says.

    Raises:
        UserError: Slurm does not take it.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.AutoExecutor(folder.parent / _SUBMITIT, cluster=CLUSTER)
    executor.update_parameters(name=_name(folder), **read_parameters(text))
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    try:
        job = executor.submit(_Training(folder, flags, {**handed_on, **variables}))
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"--slurm {text}: sbatch does not take the job: {str(error)[-300:]}") from error
    print(f"job {job.job_id}, which writes to {log_of(folder)}", flush=True)
    return SlurmJob(job, log_of(folder))


def _name(folder: Path) -> str:
    """Return the name of a run's job, which no other folder's has."""
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


class SlurmJob:
    """A submitted job, used as `subprocess.Popen` is."""

    def __init__(self, job: "Job[int]", log: Path) -> None:
        self._job, self._log = job, log

    def poll(self) -> int | None:
        """Return the exit code; None while it goes on, 1 of a job that was cancelled or lost."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if not self._job.done():
            return None
        try:
            return self._job.result()
        except (FailedJobError, UncompletedJobError) as error:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"\n{error}\n")
            return 1

    def terminate(self) -> None:
        """Cancel the job: Slurm sends SIGTERM, at which a run saves a checkpoint."""
        self._job.cancel(check=False)

    kill = terminate

    def wait(self, limit_s: float) -> None:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        deadline_s = time.monotonic() + limit_s
        while not self._job.done(force_check=True):
            if time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired(str(self._job.job_id), limit_s)
            time.sleep(_POLL_S)


class _Training:
    """What a job does: train a run. Shortly before its time is over, the run saves a checkpoint and is queued again."""

    def __init__(self, folder: Path, flags: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self.folder, self.flags, self.variables = folder, flags, variables
        self.process: subprocess.Popen[Any] | None = None

    def __call__(self) -> int:
        os.environ.update(self.variables)
        with log_of(self.folder).open("a", encoding="utf-8") as log:
            try:
                wait_until_free(self.folder)
                command = command_of(self.folder, self.flags)
            except UserError as error:
                log.write(f"error: {error}\n")
                return 2
            if not command:
                return 0
            before = signal.signal(
                signal.SIGUSR2, signal.SIG_IGN
            )  # Slurm sends it to the run too; `checkpoint` ends that
            self.process = start_process(command, {}, stdout=log, stderr=subprocess.STDOUT)
            signal.signal(signal.SIGUSR2, before)
            return self.process.wait()

    def checkpoint(self) -> "DelayedSubmission":
        """End the run, which saves a checkpoint, and return the job that goes on; called by submitit's handler."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            # Not `wait`: the main thread may be in it, below this handler, and holds its lock.
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(_Training(self.folder, self.flags, self.variables))
