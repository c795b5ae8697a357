"""Delete MLflow runs for good, with their artifacts and output folders."""

import contextlib
import io
import secrets
import shutil
import socket
import sys
import urllib.parse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.folders.locks import hold_lock, is_held
from trainers.folders.output_dir import inside
from trainers.folders.run_folder import RunFolder
from trainers.tracking import queries
from trainers.tracking.mlflow_store import FOLDER_TAG, HOST_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class DeletionPlan:
    """A run that was found: whether its record goes, which folder goes with it, and why something stays."""

    run: "Run"
    goes: bool
    folder: Path | None = None
    note: str = ""


def clean(query: str, folders: bool, yes: bool) -> None:
    """List the runs that match (without a query: those marked deleted), ask unless `yes`, and delete them for good.

    Raises:
        UserError: the store cannot be used, or there is no terminal to ask on.
    """
    from mlflow import MlflowClient

    prefix = environment.resolved_prefix()
    found = queries.find(query, deleted_only=not query, with_deleted=True)
    check_store()
    client = MlflowClient()
    doomed = [plan_deletion(client.get_run(run.info.run_id), prefix, folders) for run in found]
    if not found:
        print("nothing to delete: no run " + ("matches" if query else "is marked deleted"))
        return
    print(format_table([_row(one) for one in doomed]), flush=True)
    chosen = [one for one in doomed if one.goes]
    if not chosen or not (yes or _agreed(len(chosen))):
        print("nothing was deleted")
        return
    for one in chosen:
        print(_deleted(one.run, prefix, query, folders), flush=True)


def _deleted(run: "Run", prefix: Path, query: str, folders: bool) -> str:
    """Look at a run once more, since somebody may have gone on with it, and delete it; say what was done."""
    from mlflow import MlflowClient, MlflowException

    name = f"{run.info.run_name} ({run.info.run_id})"
    try:
        again = plan_deletion(MlflowClient().get_run(run.info.run_id), prefix, folders)
        if not again.goes or (not query and again.run.info.lifecycle_stage == "active"):
            return f"left alone: {name}, which has been taken up again"
        with hold_lock(again.folder) if again.folder else contextlib.nullcontext():
            delete(again.run, again.folder)
    except (MlflowException, UserError) as error:
        return f"left alone: {name}: {' '.join(str(error).split())}"
    return f"deleted: {name}" + (f" with {again.folder}" if again.folder else "")


def _row(one: DeletionPlan) -> dict[str, Any]:
    info = one.run.info
    uris = [str(info.artifact_uri), *(model.artifact_location for model in models_of(one.run))]
    parts = [*map(local_path, uris), *([one.folder] if one.folder else [])]
    return {
        "run": info.run_name,
        "status": info.status,
        "goes": "nothing" if not one.goes else "record and folder" if one.folder else "record",
        "MB": round(sum(map(size_mb, parts)), 2) if one.goes else 0.0,
        "folder": one.run.data.tags.get(FOLDER_TAG),
        "note": one.note,
    }


def _agreed(count: int) -> bool:
    """Ask on the terminal.

    Raises:
        UserError: there is none.
    """
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask on; look at the list above, then give --yes to delete it")
    return input(f"delete these {count} runs for good? Type yes: ").strip() == "yes"


def plan_deletion(run: "Run", prefix: Path, folders: bool) -> DeletionPlan:
    """What of a run would be deleted."""
    from mlflow import MlflowClient

    if is_running(run):
        return DeletionPlan(run, goes=False, note="stays: it is running, or its folder is being written")
    if versions := MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'"):
        return DeletionPlan(run, goes=False, note=f"stays: its model is registered as {versions[0].name}")
    return DeletionPlan(run, True, *folder_of(run, prefix)) if folders else DeletionPlan(run, True)


def is_running(run: "Run") -> bool:
    """Whether a process may still be writing the run: of this machine the folder's lock says so, of others the record.

    A process that was killed leaves a record that says RUNNING, but no lock.
    """
    tags = run.data.tags
    here = tags.get(HOST_TAG) == socket.gethostname()
    if FOLDER_TAG in tags and is_held(Path(tags[FOLDER_TAG])):
        return True
    return run.info.status not in ("FINISHED", "FAILED", "KILLED") and not here


def folder_of(run: "Run", prefix: Path) -> tuple[Path | None, str]:
    """The output folder if it may be deleted, or None; and why it stays."""
    named = Path(run.data.tags.get(FOLDER_TAG, "/"))
    if _aside(named, run).is_dir():
        return _aside(named, run), ""  # the rest of a deletion that was interrupted
    if FOLDER_TAG not in run.data.tags or not named.is_dir():
        return None, "it has no folder here"
    try:
        folder = inside(prefix, named)
        run_id = RunFolder(folder).run_id
    except UserError:
        return None, "folder stays: it is no run's, or lies outside EXP_DIR_PREFIX"
    if run_id != run.info.run_id:
        return None, "folder stays: it is another run's by now"
    if RunFolder(folder).runs_inside:
        return None, "folder stays: another run lies inside"
    return folder, ""


def delete(run: "Run", folder: Path | None) -> None:
    """Delete folder, models, artifacts and record for good, the record last: what is interrupted can be done again."""
    from mlflow import MlflowClient

    if folder is not None:
        aside = folder if folder == _aside(Path(run.data.tags[FOLDER_TAG]), run) else _aside(folder, run)
        folder.rename(aside)
        shutil.rmtree(aside)
    if run.info.lifecycle_stage == "active":
        MlflowClient().delete_run(run.info.run_id)
    _collect(run)


def _collect(run: "Run") -> None:
    """Delete what is marked deleted for good, by `mlflow gc`.

    Unless told which, gc deletes every experiment and every model that is marked deleted: it is given new ones.
    """
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow's own code, on import
        from mlflow.cli import gc
    client = MlflowClient()
    experiment_id = client.create_experiment(f"clean-runs-{secrets.token_hex(8)}")
    models = [*models_of(run), client.create_logged_model(experiment_id)]
    for model in models:
        client.delete_logged_model(model.model_id)
    client.delete_experiment(experiment_id)
    model_ids = ",".join(model.model_id for model in models)
    argv = [f"--run-ids={run.info.run_id}", f"--experiment-ids={experiment_id}", f"--logged-model-ids={model_ids}"]
    with contextlib.redirect_stdout(io.StringIO()):
        gc.main(argv, standalone_mode=False)
    for uri in (str(run.info.artifact_uri), *(model.artifact_location for model in models)):
        with contextlib.suppress(OSError):  # gc leaves the folder around its `artifacts`; elsewhere there is none
            local_path(uri).parent.rmdir()


def _aside(folder: Path, run: "Run") -> Path:
    """What a folder is called while it is being deleted."""
    return folder.parent / f".{folder.name}.deleted-{run.info.run_id}"


def check_store() -> None:
    """Refuse a server, which cannot delete for good.

    Raises:
        UserError: the store is one.
    """
    from mlflow import get_tracking_uri

    if get_tracking_uri().startswith("http"):
        raise UserError(
            f"MLflow's server {get_tracking_uri()} cannot delete for good; on its machine, set MLFLOW_TRACKING_URI to"
            " the database that it was started with (--backend-store-uri)"
        )


def models_of(run: "Run") -> list[Any]:
    """The models that a run logged, but those that are deleted already."""
    from mlflow import MlflowClient, MlflowException

    models = []
    for output in run.outputs.model_outputs if run.outputs else []:
        with contextlib.suppress(MlflowException):
            models.append(MlflowClient().get_logged_model(output.model_id))
    return models


def local_path(uri: str) -> Path:
    """Where artifacts lie; if not on this machine, a path that does not exist."""
    parts = urllib.parse.urlsplit(uri)
    return Path(urllib.parse.unquote(parts.path) if parts.scheme in ("", "file") else uri)


def size_mb(folder: Path) -> float:
    """Megabytes of all files below a folder; 0 if it is not on this machine."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
