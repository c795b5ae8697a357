"""Delete tracked runs for good: those marked deleted in MLflow (`mlflow ui`), or those that match a filter.

    world-models clean-runs
    world-models clean-runs --query "tags.task = 'location' and attributes.status = 'FAILED'" --folders

What would go is listed first, and goes after `yes`: the record with its artifacts and models, and with --folders the
run's output folder. What is still running, or has a registered model, is never deleted.
"""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common import environment
from trainers.errors import UserError
from trainers.options import option
from trainers.settings.command import command
from trainers.tracking.deletion import DeletionPlan, check_store, delete, local_path, models_of, plan_deletion, size_mb
from trainers.tracking.mlflow_store import FOLDER_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass
class CleanOptions:
    """What is deleted."""

    query: str = option("", "MLflow's filter of the runs to delete; default: those that are marked deleted")
    folders: bool = option(False, "delete the runs' output folders too")
    yes: bool = option(False, "do not ask (for scripts)")


@command(CleanOptions)
def main(given: CleanOptions) -> None:
    """List what would go, ask, and delete it."""
    from mlflow import MlflowClient

    from trainers.common import tables
    from trainers.tracking import queries

    prefix = environment.resolved_prefix()
    found = queries.find(given.query, deleted_only=not given.query, with_deleted=True)
    check_store()
    client = MlflowClient()
    doomed = [plan_deletion(client.get_run(run.info.run_id), prefix, given.folders) for run in found]
    if not found:
        print("nothing to delete: no run " + ("matches" if given.query else "is marked deleted"))
        return
    print(tables.format_table([_row(one) for one in doomed]), flush=True)
    chosen = [one for one in doomed if one.goes]
    if not chosen or not (given.yes or _agreed(len(chosen))):
        print("nothing was deleted")
        return
    for one in chosen:
        print(_deleted(one.run, prefix, given), flush=True)


def _deleted(run: "Run", prefix: Path, given: CleanOptions) -> str:
    """Look at a run once more, since somebody may have gone on with it, and delete it; say what was done."""
    from mlflow import MlflowClient, MlflowException

    from trainers.folders.locks import hold_lock

    name = f"{run.info.run_name} ({run.info.run_id})"
    try:
        again = plan_deletion(MlflowClient().get_run(run.info.run_id), prefix, given.folders)
        if not again.goes or (not given.query and again.run.info.lifecycle_stage == "active"):
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
