"""Open MLflow's store, and start, continue and end MLflow runs with a true status.

The store is the one that bare `mlflow ui` in the project's root shows: `mlflow.db` there, artifacts below `mlruns/`,
both by absolute path so that a command typed elsewhere writes to the same place. MLFLOW_TRACKING_URI names another.
"""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.common.environment import ROOT
from trainers.errors import UserError
from trainers.folders.locks import is_held, lock_of
from trainers.tracking.tracker import Tracker

PARENT_VARIABLE = "WORLD_MODELS_PARENT_RUN"
"""Environment variable with the id of the MLflow run below which a run is shown."""


def open_store(experiment: str) -> str:
    """Point MLflow at its store, create what is missing, and return the experiment's id.

    Raises:
        UserError: the store cannot be reached or read.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it reports every table it creates
    logging.getLogger("mlflow.data.huggingface_dataset").setLevel(logging.ERROR)  # it has no schema for lists of lists
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"
    try:
        mlflow.set_tracking_uri(uri)
        if uri.startswith("sqlite:///"):
            _make_local(experiment, Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlruns")
        return mlflow.set_experiment(experiment).experiment_id
    except (mlflow.MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"MLflow's store {uri} cannot be used ({str(error)[:200]}); correct MLFLOW_TRACKING_URI or start its server"
        ) from error


def _make_local(experiment: str, artifacts: Path) -> None:
    """Create the store and the experiment if they are missing."""
    import mlflow

    artifacts.mkdir(parents=True, exist_ok=True)
    # Creating a fresh SQLite store from two processes at once breaks it, hence the lock.
    with lock_of(artifacts / "store"):
        if mlflow.get_experiment_by_name(experiment) is not None:
            return
        # An explicit location: an experiment made by a running server would only be writable through that server.
        location = (artifacts / experiment).as_uri()
        kind = {"mlflow.experimentKind": "custom_model_development"}  # model training, not chat traces
        mlflow.create_experiment(experiment, artifact_location=location, tags=kind)


@contextlib.contextmanager
def tracked_run(experiment_id: str, folder: Path, run_id: str | None) -> Iterator[Tracker]:
    """Start (or continue) an MLflow run and end it with its true status. Main process only.

    It ends FINISHED, FAILED (any exception) or KILLED (Ctrl-C, SIGTERM). Earlier runs whose process was killed before
    it could set a status are marked first.

    Args:
        folder: The run's folder; its name is shown in MLflow's list.
        run_id: The MLflow run to continue, or None for a new one.

    Raises:
        UserError: the store cannot start the run, or no longer takes what is written.
    """
    import mlflow

    try:
        tracker = _start(experiment_id, folder, run_id)
        status = "FAILED"
        try:
            with terminate_as_exit():
                yield tracker
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            try:
                tracker.flush()
            finally:
                mlflow.end_run(status)
    except mlflow.MlflowException as error:
        raise UserError(
            f"MLflow's store {mlflow.get_tracking_uri()} no longer takes what this run writes ({str(error)[:200]});"
            f" the checkpoints in {folder} are complete: once it answers, go on with --resume_from_checkpoint last"
        ) from error


def _start(experiment_id: str, folder: Path, run_id: str | None) -> Tracker:
    """Start the MLflow run, which is then MLflow's active one."""
    import mlflow

    client = mlflow.MlflowClient()
    for name in mark_killed(client, experiment_id):
        print(f"marked as killed: {name}, whose process is gone", flush=True)
    tags = {HOST_TAG: socket.gethostname(), FOLDER_TAG: str(folder)}
    if parent := os.environ.get(PARENT_VARIABLE):
        tags["mlflow.parentRunId"] = parent
    name = None if run_id else folder.name
    try:
        run = mlflow.start_run(run_id=run_id, experiment_id=experiment_id, run_name=name, tags=tags)
    except mlflow.MlflowException as error:
        raise UserError(f"MLflow cannot start the run ({error}); is its store the one of the first start?") from error
    points = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return Tracker(run.info.run_id, {name: max(point.step for point in of) for name, of in points.items()})


HOST_TAG, FOLDER_TAG = "host", "output_dir"
"""Tags of every MLflow run, by which one is recognised whose process is gone."""


def mark_killed(client: Any, experiment_id: str) -> list[str]:
    """Set RUNNING runs whose process on this machine is gone to KILLED; return their names.

    A running process holds the lock of its folder, and the system releases it however the process ends.
    """
    marked = []
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get(HOST_TAG) == socket.gethostname() and not is_held(Path(tags[FOLDER_TAG])):
            client.set_tag(run.info.run_id, "ended", "killed: its process was gone at the next start")
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
