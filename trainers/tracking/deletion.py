"""Delete MLflow runs for good, with their artifacts and output folders."""

import contextlib
import io
import secrets
import socket
import sys
import urllib.parse
import warnings
from collections.abc import Sequence
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
from trainers.tracking.mlflow_runs import FOLDER_TAG, HOST_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class DeletionPlan:
    """Whether an MLflow run is deleted, the output folder deleted with it, and why something stays."""

    run: "Run"
    goes: bool
    folder: Path | None = None
    note: str = ""


def clean(query: str, folders: bool, yes: bool) -> None:
    """List the runs that match (without a query: those marked deleted), ask unless `yes`, and delete them for good.

    Raises:
        UserError: the store cannot be used or is a server, or there is no terminal to ask on.
    """
    import mlflow

    prefix = environment.resolved_prefix()
    runs = queries.find(query, deleted_only=not query, with_deleted=True)
    if (store := mlflow.get_tracking_uri()).startswith("http"):
        raise UserError(
            f"MLflow's server {store} cannot delete for good; on its machine, set MLFLOW_TRACKING_URI to the database"
            " that it was started with (--backend-store-uri)"
        )
    if not runs:
        print("nothing to delete: no run " + ("matches" if query else "is marked deleted"))
        return
    plans = [plan_deletion(run.info.run_id, prefix, folders) for run in runs]
    print(format_table([_row(plan) for plan in plans]), flush=True)
    chosen = [plan for plan in plans if plan.goes]
    if chosen and not yes and not sys.stdin.isatty():
        raise UserError("there is no terminal to ask on; look at the list above, then give --yes to delete it")
    if not chosen or not (yes or input(f"delete these {len(chosen)} runs for good? Type yes: ").strip() == "yes"):
        print("nothing was deleted")
        return
    marked = [plan for listed in chosen if (plan := _mark_deleted(listed.run, prefix, query, folders))]
    if marked:
        _collect([plan.run for plan in marked])
    for plan in marked:
        print(f"deleted: {_name(plan.run)}" + (f" with what it wrote in {plan.folder}" if plan.folder else ""))


def _row(plan: DeletionPlan) -> dict[str, Any]:
    info = plan.run.info
    uris = [str(info.artifact_uri), *(model.artifact_location for model in models_of(plan.run))]
    parts = [*map(local_path, uris), *([plan.folder] if plan.folder else [])]
    return {
        "run": info.run_name,
        "status": info.status,
        "goes": "nothing" if not plan.goes else "MLflow run and folder" if plan.folder else "MLflow run",
        "MB": round(sum(map(size_mb, parts)), 2) if plan.goes else 0.0,
        "folder": plan.run.data.tags.get(FOLDER_TAG),
        "note": plan.note,
    }


def plan_deletion(run_id: str, prefix: Path, folders: bool) -> DeletionPlan:
    """Decide what of a run is deleted."""
    from mlflow import MlflowClient

    run = MlflowClient().get_run(run_id)
    if is_running(run):
        return DeletionPlan(run, goes=False, note="stays: it is running, or its folder is being written")
    if versions := MlflowClient().search_model_versions(f"run_id = '{run_id}'"):
        return DeletionPlan(run, goes=False, note=f"stays: its model is registered as {versions[0].name}")
    return DeletionPlan(run, True, *folder_of(run, prefix)) if folders else DeletionPlan(run, True)


def is_running(run: "Run") -> bool:
    """Return whether a process may still be writing the run.

    A killed process leaves the status RUNNING, but no lock on its folder: on this machine the lock decides.
    """
    tags = run.data.tags
    if FOLDER_TAG in tags and is_held(Path(tags[FOLDER_TAG])):
        return True
    return run.info.status not in ("FINISHED", "FAILED", "KILLED") and tags.get(HOST_TAG) != socket.gethostname()


def folder_of(run: "Run", prefix: Path) -> tuple[Path | None, str]:
    """Return the output folder if it may be deleted, or None and why it stays."""
    named = Path(run.data.tags.get(FOLDER_TAG, "/"))
    if FOLDER_TAG not in run.data.tags or not named.is_dir():
        return None, "it has no folder here"
    try:
        folder = RunFolder(inside(prefix, named))
        run_id = folder.run_id
    except UserError:
        return None, "folder stays: it is no run's, or lies outside EXP_DIR_PREFIX"
    if run_id != run.info.run_id:
        return None, "folder stays: it is another run's by now"
    if folder.runs_inside:
        return None, "folder stays: another run lies inside"
    return folder.path, ""


def _name(run: "Run") -> str:
    return f"{run.info.run_name} ({run.info.run_id})"


def _mark_deleted(run: "Run", prefix: Path, query: str, folders: bool) -> DeletionPlan | None:
    """Delete the folder and mark the run deleted, unless somebody has gone on with it since it was listed.

    The MLflow run goes last, so that an interrupted deletion can be repeated.
    """
    from mlflow import MlflowClient, MlflowException

    try:
        plan = plan_deletion(run.info.run_id, prefix, folders)
        is_active = plan.run.info.lifecycle_stage == "active"
        if not plan.goes or (is_active and not query):
            raise UserError("it has been taken up again")
        with hold_lock(plan.folder) if plan.folder else contextlib.nullcontext():
            if plan.folder:
                _delete_folder(plan.folder)
            if is_active:
                MlflowClient().delete_run(plan.run.info.run_id)
        return plan
    except (MlflowException, UserError) as error:
        print(f"left alone: {_name(run)}: {' '.join(str(error).split())}", flush=True)
        return None


def _delete_folder(folder: Path) -> None:
    """Delete what the run wrote; if anything else lies there, it and the folder stay."""
    if kept := RunFolder(folder).delete_written():
        print(f"kept in {folder}, as no run wrote it: {', '.join(kept)}", flush=True)
    else:
        folder.rmdir()


def _collect(runs: "Sequence[Run]") -> None:
    """Delete runs that are marked deleted, and their models, for good by `mlflow gc`.

    Without ids, gc deletes every experiment and every model that is marked deleted; it is given a new one of each.

    Raises:
        UserError: MLflow refuses a run; those that are left stay marked deleted.
    """
    from mlflow import MlflowClient, MlflowException

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow's own code, on import
        from mlflow.cli import gc
    client = MlflowClient()
    try:
        experiment_id = client.create_experiment(f"clean-runs-{secrets.token_hex(8)}")
        models = [*(model for run in runs for model in models_of(run)), client.create_logged_model(experiment_id)]
        for model in models:
            client.delete_logged_model(model.model_id)
        client.delete_experiment(experiment_id)
        run_ids = ",".join(run.info.run_id for run in runs)
        model_ids = ",".join(model.model_id for model in models)
        argv = [f"--run-ids={run_ids}", f"--experiment-ids={experiment_id}", f"--logged-model-ids={model_ids}"]
        with contextlib.redirect_stdout(io.StringIO()):
            gc.main(argv, standalone_mode=False)
    except MlflowException as error:
        raise UserError(
            f"MLflow cannot delete these runs for good ({' '.join(str(error).split())}); they are marked deleted: start"
            " `world-models clean-runs` again"
        ) from error
    for uri in [str(run.info.artifact_uri) for run in runs] + [model.artifact_location for model in models]:
        with contextlib.suppress(OSError):  # gc leaves the folder around its `artifacts`; elsewhere there is none
            local_path(uri).parent.rmdir()


def models_of(run: "Run") -> list[Any]:
    """Return the models that a run logged and that are not deleted."""
    from mlflow import MlflowClient, MlflowException

    models = []
    for output in run.outputs.model_outputs if run.outputs else []:
        with contextlib.suppress(MlflowException):
            models.append(MlflowClient().get_logged_model(output.model_id))
    return models


def local_path(uri: str) -> Path:
    """Return where artifacts lie; if not on this machine, a path that does not exist."""
    parts = urllib.parse.urlsplit(uri)
    return Path(urllib.parse.unquote(parts.path) if parts.scheme in ("", "file") else uri)


def size_mb(folder: Path) -> float:
    """Megabytes of all files below a folder; 0 if it is not on this machine."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
