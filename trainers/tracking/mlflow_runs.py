"""Start, continue and end MLflow runs with a true status, each by the run folder that it belongs to."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError
from trainers.folders.locks import is_held
from trainers.tracking.mlflow_store import explain, store_errors, use_experiment
from trainers.tracking.tracker import Tracker, losses

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT_VARIABLE = "WORLD_MODELS_PARENT_RUN"
"""Environment variable with the id of the MLflow run below which a run is shown."""
HOST_TAG, FOLDER_TAG, _INODE_TAG = "host", "output_dir", "output_dir_inode"
"""Tags of every MLflow run, by which one is recognised whose process is gone, and a folder that was copied."""
_ENDED_TAG = "ended"


@contextlib.contextmanager
def tracked_run(experiment_id: str, folder: Path, run_id: str | None, parent: str | None = None) -> Iterator[Tracker]:
    """Start (or continue) an MLflow run and end it with its true status. Main process only.

    It ends FINISHED, FAILED (any exception) or KILLED (Ctrl-C, SIGTERM). Earlier runs whose process was killed before
    it could set a status are marked first.

    Args:
        folder: The run's folder; its name is shown in MLflow's list.
        run_id: The MLflow run to continue, or None for a new one.
        parent: The MLflow run below which it is shown; by default the one that PARENT_VARIABLE names.

    Raises:
        UserError: the store cannot start the run, or no longer takes what is written.
    """
    import mlflow

    with store_errors(mlflow.get_tracking_uri()):
        tracker = _start(experiment_id, folder, run_id, parent or os.environ.get(PARENT_VARIABLE))
    status = "FAILED"
    try:
        with terminate_as_exit():
            yield tracker
            tracker.flush()
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        if tracker.lost is None:
            raise
    finally:
        _end(tracker, status)
    if tracker.lost is not None:
        raise UserError(
            f"{explain(tracker.lost, mlflow.get_tracking_uri())}. {folder} has a checkpoint of where the training was:"
            f" go on with --output_dir {folder} --resume_from_checkpoint last, in a new MLflow run if this one is gone"
        ) from tracker.lost


def own_run(run_id: str, folder: Path) -> "tuple[Run | None, str]":
    """Return a folder's MLflow run; or None and why, if it is gone or belongs to the folder that this is a copy of."""
    import mlflow

    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None, "is not in MLflow's store"
    tags, inode = run.data.tags, str(folder.stat().st_ino)
    if run.info.lifecycle_stage != "active":
        return None, "is marked deleted in MLflow"
    named = Path(tags.get(FOLDER_TAG, folder))
    has_moved = tags.get(HOST_TAG) == socket.gethostname() and not named.exists()
    if tags.get(_INODE_TAG, inode) == inode and (named == folder or has_moved):
        return run, ""
    return None, f"belongs to {named} on {tags.get(HOST_TAG)}, of which this folder is a copy"


def _start(experiment_id: str, folder: Path, run_id: str | None, parent: str | None) -> Tracker:
    """Start the MLflow run, which is then MLflow's active one."""
    import mlflow

    client = mlflow.MlflowClient()
    for name in mark_killed(client, experiment_id):
        print(f"marked as killed: {name}, whose process is gone", flush=True)
    tags = {HOST_TAG: socket.gethostname(), FOLDER_TAG: str(folder), _INODE_TAG: str(folder.stat().st_ino)}
    if parent:
        tags["mlflow.parentRunId"] = parent
        experiment_id = _experiment_of(parent) or experiment_id
    known, why = own_run(run_id, folder) if run_id else (None, "")
    if run_id and not known:
        print(f"a new MLflow run goes on: {run_id} {why}", flush=True)
        tags["continues_run_id"] = run_id
    if known:  # its experiment may have been renamed
        experiment_id = known.info.experiment_id
    use_experiment(experiment_id)
    if known and _ENDED_TAG in known.data.tags:
        client.delete_tag(known.info.run_id, _ENDED_TAG)
    name = None if known else folder.name
    run = mlflow.start_run(run_id if known else None, experiment_id, run_name=name, tags=tags)
    points = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return Tracker(run.info.run_id, {name: max(point.step for point in of) for name, of in points.items()}, True)


def _experiment_of(run_id: str) -> str | None:
    """Return the experiment that a run lies in, which may have been renamed; None if the run is gone."""
    import mlflow

    try:
        return mlflow.MlflowClient().get_run(run_id).info.experiment_id
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _end(tracker: Tracker, status: str) -> None:
    """End the MLflow run with a status, or note that the store is lost."""
    import mlflow

    tracker.ends_training = False
    try:
        try:
            tracker.flush()
        finally:
            mlflow.end_run(status)
    except losses() as error:
        tracker.lost = tracker.lost or error


def mark_killed(client: Any, experiment_id: str) -> list[str]:
    """Set RUNNING runs whose process on this machine is gone to KILLED; return their names.

    A running process holds the lock of its folder, and the system releases it however the process ends.
    """
    marked = []
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        is_own = FOLDER_TAG in tags and tags.get(HOST_TAG) == socket.gethostname()
        if is_own and not is_held(Path(tags[FOLDER_TAG])):
            client.set_tag(run.info.run_id, _ENDED_TAG, "killed: its process was gone at the next start")
            client.set_terminated(run.info.run_id, "KILLED")
            marked.append(run.info.run_name)
    return marked


@contextlib.contextmanager
def terminate_as_exit() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that the run is ended properly."""

    def stop(signum: int, frame: Any) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
