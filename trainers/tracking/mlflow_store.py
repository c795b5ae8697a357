"""MLflow's store, and a run's record in it: one run a job, on the main process, with a true status at the end.

The store is what bare `mlflow ui` in the project's root shows: `mlflow.db` there, artifacts below `mlruns/`, both by
absolute path so that a command typed elsewhere writes to the same place. MLFLOW_TRACKING_URI points elsewhere.
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
"""The environment variable with the id of the MLflow run that a run is a child of."""


def open_store(experiment: str) -> str:
    """Point MLflow at its store, create what is missing, and return the experiment's id.

    Raises:
        UserError: the store cannot be reached or read.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it tells of every table it creates
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
    """Create the store and the experiment where they are missing."""
    import mlflow

    artifacts.mkdir(parents=True, exist_ok=True)
    # Creating a fresh SQLite store from two processes at once breaks it, hence the lock.
    with lock_of(artifacts / "store"):
        if mlflow.get_experiment_by_name(experiment) is not None:
            return
        # An explicit place: an experiment made by a running server would only be writable through that server.
        location = (artifacts / experiment).as_uri()
        kind = {"mlflow.experimentKind": "custom_model_development"}  # model training, not chat traces
        mlflow.create_experiment(experiment, artifact_location=location, tags=kind)


@contextlib.contextmanager
def tracked_run(experiment_id: str | None, folder: Path, run_id: str | None) -> Iterator[Tracker]:
    """Start (or continue) an MLflow run and end it with the status that is true.

    Arguments:
        experiment_id: from `open_store`; None on every process but the main one: the tracker then does nothing.
        folder: the run's folder; its name is shown in MLflow's list.
        run_id: the run to continue, or None for a new one.

    The run ends FINISHED, FAILED (any exception) or KILLED (Ctrl-C, SIGTERM). Records of runs that were killed before
    they could say so are marked first.

    Raises:
        UserError: the store cannot start the run, or stops taking what is written.
    """
    if experiment_id is None:
        with terminate_as_exit():
            yield Tracker()
        return
    import mlflow

    with _lost_store(folder):
        tracker = _started(experiment_id, folder, run_id)
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


def _started(experiment_id: str, folder: Path, run_id: str | None) -> Tracker:
    """The tracker of a run that has begun; it is MLflow's active run from now on."""
    import mlflow

    for name in mark_killed(mlflow.MlflowClient(), experiment_id):
        print(f"marked as killed: {name}, whose process is gone", flush=True)
    try:
        run = mlflow.start_run(
            run_id=run_id,
            experiment_id=experiment_id,
            run_name=None if run_id else folder.name,
            tags={**own_tags(folder), **_parent_tag()},
        )
    except mlflow.MlflowException as error:
        raise UserError(f"MLflow cannot start the run ({error}); is its store the one of the first start?") from error
    return Tracker(run.info.run_id, _last_steps(run.info.run_id) if run_id else None)


@contextlib.contextmanager
def _lost_store(folder: Path) -> Iterator[None]:
    """Say in one sentence that the store has stopped taking what is written."""
    import mlflow

    try:
        yield
    except mlflow.MlflowException as error:
        raise UserError(
            f"MLflow's store {mlflow.get_tracking_uri()} no longer takes this run's record ({str(error)[:200]}); the"
            f" checkpoints in {folder} are whole: once it answers, go on with --resume_from_checkpoint last"
        ) from error


def _last_steps(run_id: str) -> dict[str, int]:
    """The last step of every metric in a record."""
    from mlflow import MlflowClient

    client = MlflowClient()
    names = client.get_run(run_id).data.metrics
    return {name: max(point.step for point in client.get_metric_history(run_id, name)) for name in names}


def _parent_tag() -> dict[str, str]:
    """A sweep starts its runs with its own record's id, under which MLflow's page then shows them."""
    parent = os.environ.get(PARENT_VARIABLE)
    return {"mlflow.parentRunId": parent} if parent else {}


HOST_TAG, FOLDER_TAG = "host", "output_dir"
"""Tags by which a record is recognised whose process is gone; a run has them from its first moment."""


def own_tags(folder: Path) -> dict[str, str]:
    """The tags of a run of this machine that writes `folder`."""
    return {HOST_TAG: socket.gethostname(), FOLDER_TAG: str(folder)}


def mark_killed(client: Any, experiment_id: str) -> list[str]:
    """Give records that say RUNNING, but whose process on this machine is gone, the status KILLED; return their names.

    A running process holds the lock of its folder, and the system lets go of it however the process ends.
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
