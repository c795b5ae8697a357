"""Delete tracked runs for good: those marked deleted in MLflow (`mlflow ui`), or those that match a filter.

    python -m trainers.clean_runs
    python -m trainers.clean_runs --query "tags.task = 'location' and attributes.status = 'FAILED'" --folders

What would go is listed first, and goes after `yes`: the record with its artifacts and models, and with --folders the
run's output folder. What is still running, or has a registered model, is never deleted.

`mlflow gc` is not used, because with runs named it also deletes every experiment that is marked deleted.
"""

import contextlib
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import environment
from trainers.errors import UserError, exit_code_of
from trainers.options import option

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass
class CleanOptions:
    """What is deleted."""

    query: str = option("", "MLflow's filter of the runs to delete; default: those that are marked deleted")
    folders: bool = option(False, "delete the runs' output folders too")
    yes: bool = option(False, "do not ask (for scripts)")


@dataclass(frozen=True)
class Doomed:
    """A run that was found: whether its record goes, which folder goes with it, and why something stays."""

    run: "Run"
    goes: bool
    folder: Path | None = None
    note: str = ""


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    return exit_code_of(lambda: _clean(sys.argv[1:] if argv is None else argv))


def _clean(argv: list[str]) -> None:
    environment.set_up()
    from trainers import queries, tables, usage

    given = usage.read_or_help(argv, __doc__, CleanOptions)
    if given is None:
        return
    prefix = environment.resolved_prefix()
    found = queries.find(given.query, deleted_only=not given.query, with_deleted=True)
    store = _store()
    doomed = [examined(store.get_run(run.info.run_id), prefix, given.folders) for run in found]
    if not found:
        print("nothing to delete: no run " + ("matches" if given.query else "is marked deleted"))
        return
    print(tables.aligned([_row(one, store) for one in doomed]), flush=True)
    chosen = [one for one in doomed if one.goes]
    if not chosen or not (given.yes or _agreed(len(chosen))):
        print("nothing was deleted")
        return
    for one in chosen:
        print(_deleted(one.run, store, prefix, given), flush=True)


def examined(run: "Run", prefix: Path, folders: bool) -> Doomed:
    """What of a run would be deleted."""
    from mlflow import MlflowClient

    if is_running(run):
        return Doomed(run, goes=False, note="stays: it is running, or its folder is being written")
    if versions := MlflowClient().search_model_versions(f"run_id = '{run.info.run_id}'"):
        return Doomed(run, goes=False, note=f"stays: its model is registered as {versions[0].name}")
    return Doomed(run, True, *folder_of(run, prefix)) if folders else Doomed(run, True)


def is_running(run: "Run") -> bool:
    """Whether a process may still be writing the run: of this machine the folder's lock says so, of others the record.

    A process that was killed leaves a record that says RUNNING, but no lock.
    """
    from trainers.guards import is_held
    from trainers.stopping import FOLDER_TAG, HOST_TAG

    tags = run.data.tags
    here = tags.get(HOST_TAG) == socket.gethostname()
    if FOLDER_TAG in tags and is_held(Path(tags[FOLDER_TAG])):
        return True
    return run.info.status not in ("FINISHED", "FAILED", "KILLED") and not here


def folder_of(run: "Run", prefix: Path) -> tuple[Path | None, str]:
    """The output folder if it may be deleted, or None; and why it stays."""
    from trainers import guards
    from trainers.stopping import FOLDER_TAG

    named = Path(run.data.tags.get(FOLDER_TAG, "/"))
    if _aside(named, run).is_dir():
        return _aside(named, run), ""  # the rest of a deletion that was interrupted
    if FOLDER_TAG not in run.data.tags or not named.is_dir():
        return None, "it has no folder here"
    try:
        folder = guards.inside(prefix, named)
        marker = guards.read_marker(folder)
    except UserError:
        return None, "folder stays: it is no run's, or lies outside EXP_DIR_PREFIX"
    if marker.get("mlflow_run_id") != run.info.run_id:
        return None, "folder stays: it is another run's by now"
    if any(path.parent != folder for path in folder.rglob(guards.MARKER)):
        return None, "folder stays: another run lies inside"
    return folder, ""


def delete(run: "Run", folder: Path | None, store: Any) -> None:
    """Delete folder, models, artifacts and record for good, the record last: what is interrupted can be done again."""
    if folder is not None:
        aside = folder if folder == _aside(Path(run.data.tags["output_dir"]), run) else _aside(folder, run)
        folder.rename(aside)
        shutil.rmtree(aside)
    if run.info.lifecycle_stage == "active":
        store.delete_run(run.info.run_id)
    for model in _models(run, store):
        _delete_artifacts(model.artifact_location)
        store._hard_delete_logged_model(model.model_id)
    _delete_artifacts(str(run.info.artifact_uri))
    store._hard_delete_run(run.info.run_id)


def _aside(folder: Path, run: "Run") -> Path:
    """What a folder is called while it is being deleted."""
    return folder.parent / f".{folder.name}.deleted-{run.info.run_id}"


def _deleted(run: "Run", store: Any, prefix: Path, given: CleanOptions) -> str:
    """Look at a run once more, since somebody may have gone on with it, and delete it; say what was done."""
    from mlflow import MlflowException

    from trainers.folders import held

    name = f"{run.info.run_name} ({run.info.run_id})"
    try:
        again = examined(store.get_run(run.info.run_id), prefix, given.folders)
        if not again.goes or (not given.query and again.run.info.lifecycle_stage == "active"):
            return f"left alone: {name}, which has been taken up again"
        with held(again.folder) if again.folder else contextlib.nullcontext():
            delete(again.run, again.folder, store)
    except (MlflowException, UserError) as error:
        return f"left alone: {name}: {' '.join(str(error).split())}"
    return f"deleted: {name}" + (f" with {again.folder}" if again.folder else "")


def _store() -> Any:
    """MLflow's store itself: its client cannot delete for good.

    Raises:
        UserError: it is a server, which offers no such thing.
    """
    import mlflow
    from mlflow.tracking._tracking_service.utils import _get_store

    store = _get_store()
    if not hasattr(store, "_hard_delete_run"):
        raise UserError(
            f"MLflow's server {mlflow.get_tracking_uri()} cannot delete for good; on its machine, set"
            " MLFLOW_TRACKING_URI to the database that it was started with (--backend-store-uri)"
        )
    return store


def _models(run: "Run", store: Any) -> list[Any]:
    """The models that a run logged, as the store has them."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return [store.get_logged_model(output.model_id, allow_deleted=True) for output in outputs]


def _delete_artifacts(uri: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri).delete_artifacts()
    with contextlib.suppress(OSError):  # MLflow leaves the folder around its `artifacts`; elsewhere there is none
        _local(uri).parent.rmdir()


def _local(uri: str) -> Path:
    """Where artifacts lie; if not on this machine, a path that does not exist."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    return Path(local_file_uri_to_path(uri))


def _row(one: Doomed, store: Any) -> dict[str, Any]:
    info = one.run.info
    uris = [str(info.artifact_uri), *(model.artifact_location for model in _models(one.run, store))]
    parts = [*map(_local, uris), *([one.folder] if one.folder else [])]
    return {
        "run": info.run_name,
        "status": info.status,
        "goes": "nothing" if not one.goes else "record and folder" if one.folder else "record",
        "MB": round(sum(map(size_mb, parts)), 2) if one.goes else 0.0,
        "folder": one.run.data.tags.get("output_dir"),
        "note": one.note,
    }


def size_mb(folder: Path) -> float:
    """Megabytes of all files below a folder; 0 if it is not on this machine."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def _agreed(count: int) -> bool:
    """Ask on the terminal.

    Raises:
        UserError: there is none.
    """
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask on; look at the list above, then give --yes to delete it")
    return input(f"delete these {count} runs for good? Type yes: ").strip() == "yes"


if __name__ == "__main__":
    sys.exit(main())
