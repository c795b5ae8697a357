"""Open MLflow's store: find or make the experiment, follow a project that was moved, say what helps when it fails.

The store is the one that bare `mlflow ui` in the project's root shows: `mlflow.db` there, artifacts below `mlruns/`,
both by absolute path so that a command typed elsewhere writes to the same place. MLFLOW_TRACKING_URI names another.
"""

import contextlib
import logging
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.common.environment import ROOT
from trainers.errors import UserError
from trainers.folders.locks import lock_of

_REACHING = (
    *("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ACTIVE_MODEL_ID"),
    *("MLFLOW_RUN_CONTEXT", "MLFLOW_ENABLE_SGC_RUN_RESUMPTION_FOR_DATABRICKS_JOBS", "MLFLOW_ENABLE_ASYNC_LOGGING"),
)
"""Variables by which MLflow would write into another record than the run's own, or lose errors of writing."""
_PLACES = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location")),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that hold absolute paths."""
_DATABASE = "give a database in MLFLOW_TRACKING_URI, e.g. sqlite:////home/me/mlflow.db"
_ADVICE = (
    ("must be in the 'active' state|Run with id", "the run was deleted there"),
    ("MLFLOW_ALLOW_FILE_STORE", f"{_DATABASE}, to which `mlflow migrate-filestore` takes the runs of a folder"),
    ("not a database", _DATABASE),
    ("readonly|unable to open|[Pp]ermission denied", "its file and folder must exist and be writable for you"),
    ("is locked", "another process is writing it: wait, then start again"),
    ("disk is full|No space", "free space, then start again"),
    (
        "error code 40[13]|UNAUTHENTICATED|PERMISSION_DENIED",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ),
    ("Connection|Max retries|timed out|resolve", "start its server, or correct MLFLOW_TRACKING_URI"),
)
"""What an error of MLflow says -> what helps, one per kind; the first that fits."""


def open_store(experiment: str) -> str:
    """Point MLflow at its store, create or restore the experiment, and return its id.

    Raises:
        UserError: the store cannot be reached or read.
    """
    import mlflow
    from mlflow.store.db import utils

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it reports every table it creates
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # else it says all that we say, at length
    logging.getLogger("mlflow.data.huggingface_dataset").setLevel(logging.ERROR)  # it has no schema for lists of lists
    logging.getLogger("alembic").setLevel(logging.WARNING)
    utils.MAX_RETRY_COUNT = 4  # a second, not a minute and a half
    if "%" in mlflow.__file__:
        raise UserError(f"MLflow does not work from a path with a %: {mlflow.__file__}; rename the folder")
    for name in _REACHING:
        if os.environ.pop(name, None) is not None:
            print(f"ignored: {name}; every run has an MLflow run of its own, in the experiment of its task", flush=True)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(ROOT / "mlflow.db")
    with store_errors(uri):
        mlflow.set_tracking_uri(uri)
        found = _open_local(experiment, uri) if uri.startswith("sqlite:") else _find(experiment, None)
        return use_experiment(found)


def use_experiment(experiment_id: str) -> str:
    """Make an experiment MLflow's active one in this process; return its id."""
    import mlflow

    mlflow.set_experiment(experiment_id=experiment_id)
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)  # set by that, for processes that this one starts
    return experiment_id


def sqlite_uri(path: Path) -> str:
    """Return the URI of a database file, in which `%` and `?` have a meaning."""
    return f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F")


@contextlib.contextmanager
def store_errors(uri: str, more: str = "") -> Iterator[None]:
    """Turn an error of MLflow into one sentence with what helps; `more` is said after it."""
    from mlflow import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise UserError(f"{explain(error, uri)}{more}") from error


def explain(error: Exception, uri: str) -> str:
    """Return what is wrong with the store, in its own words, and what helps."""
    text = " ".join(re.split(r"\[SQL:|\(Background", str(error))[0].split())[:800]
    advice = (advice for words, advice in _ADVICE if re.search(words, text))
    helps = _schema_advice(text, uri) or next(advice, "correct MLFLOW_TRACKING_URI")
    return f"MLflow's store {_without_password(uri)} does not do what is asked ({text}); {helps}"


def page_of(run_id: str) -> str:
    """Return how to look at an MLflow run."""
    import mlflow

    experiment_id = mlflow.MlflowClient().get_run(run_id).info.experiment_id
    uri, page = mlflow.get_tracking_uri(), f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
    if uri.startswith("http"):
        return f"{_without_password(uri.rstrip('/'))}/{page}"
    store = (
        "" if uri == sqlite_uri(ROOT / "mlflow.db") else f" --backend-store-uri {shlex.quote(_without_password(uri))}"
    )
    return f"`mlflow ui{store}` in {ROOT}, then http://127.0.0.1:5000/{page}"


def _open_local(experiment: str, uri: str) -> str:
    """Open a store in a file, with its artifacts beside it."""
    import mlflow
    from sqlalchemy.engine import make_url

    database = Path(make_url(uri).database or "mlflow.db").resolve()
    artifacts = database.parent / "mlruns"
    artifacts.mkdir(parents=True, exist_ok=True)
    # Creating a fresh SQLite store from two processes at once breaks it, hence the lock.
    with lock_of(artifacts / "store"):
        mlflow.search_experiments(max_results=1)  # creates the tables
        if (named := Path(uri.removeprefix("sqlite:///"))) != database:
            with contextlib.suppress(OSError):  # MLflow makes the folder that the URI would name without its quoting
                os.removedirs(named.parent)
        _follow_move(database, artifacts.as_uri())
        # An explicit location: an experiment made by a running server would only be writable through that server.
        return _find(experiment, (artifacts / experiment).as_uri())


def _follow_move(database: Path, place: str) -> None:
    """Correct the absolute paths in a store that was moved or copied with its artifacts: else they lead to the old."""
    old = "substr(artifact_location, 1, length(artifact_location) - length(name) - 1)"
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as store, store:
        found = f"SELECT DISTINCT {old} FROM experiments WHERE artifact_location LIKE 'file:///%/mlruns/' || name"
        for (before,) in store.execute(found).fetchall():
            if before == place:
                continue
            for table, column in _PLACES:
                moved = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                store.execute(moved, (place, len(before) + 1, len(before) + 1, f"{before}/"))
            print(f"moved or copied: MLflow's artifacts are now kept in {place}, no longer in {before}", flush=True)


def _find(name: str, location: str | None) -> str:
    """Return the id of an experiment; create it, or restore it without its runs."""
    from mlflow import MlflowClient, MlflowException
    from mlflow.entities import ViewType

    client = MlflowClient()
    found: Any = client.get_experiment_by_name(name)
    if found is None:
        try:
            kind = {"mlflow.experimentKind": "custom_model_development"}  # model training, not chat traces
            return client.create_experiment(name, location, tags=kind)
        except MlflowException:  # another run may have made it a moment ago, on a server
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    if found.lifecycle_stage != "active":
        deleted = client.search_runs([found.experiment_id], run_view_type=ViewType.DELETED_ONLY, max_results=10_000)
        client.restore_experiment(found.experiment_id)
        for run in deleted:
            client.delete_run(run.info.run_id)
        print(
            f"restored: MLflow's experiment {name}, which was marked deleted; its {len(deleted)} runs stay so"
            " (`world-models clean-runs` deletes them for good)",
            flush=True,
        )
    return found.experiment_id


def _schema_advice(text: str, uri: str) -> str:
    """Return what helps if the database is another version's, else nothing."""
    import mlflow

    if (version := re.search(r"schema \(found version (\w+)", text)) is None:
        return ""
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(versions.glob(f"{version[1]}*")):
        return f"an older MLflow made it: copy it, then `mlflow db upgrade {shlex.quote(_without_password(uri))}`"
    return f"a newer MLflow than {mlflow.__version__} made it: install that one, or name another in MLFLOW_TRACKING_URI"


def _without_password(uri: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)
