"""Search tracked runs with an MLflow filter string, over all experiments."""

from typing import TYPE_CHECKING

from trainers.errors import UserError
from trainers.tracking.mlflow_store import open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

    from trainers.contract import Task


EVALUATES_TAG = "evaluates"
"""Tag of an MLflow run that is an evaluation of another one, not a training."""


def find(query: str, deleted_only: bool = False, with_deleted: bool = False) -> "list[Run]":
    """Return the runs that match a filter, newest first.

    Args:
        query: MLflow's filter, e.g. `tags.task = 'location'`; empty for all.
        deleted_only: Only runs that are marked deleted.
        with_deleted: Runs that are marked deleted too.

    Raises:
        UserError: the store cannot be read, or the filter is none.
    """
    import mlflow
    from mlflow.entities import ViewType
    from sqlalchemy.exc import SQLAlchemyError

    kept = ViewType.ALL if with_deleted or deleted_only else ViewType.ACTIVE_ONLY
    open_store("Default")  # MLflow's own, which always exists: nothing is created
    try:
        return mlflow.search_runs(  # pyright: ignore[reportReturnType]: it is a list
            [experiment.experiment_id for experiment in mlflow.search_experiments(kept)],
            query,
            ViewType.DELETED_ONLY if deleted_only else kept,
            order_by=["attributes.start_time DESC", "attributes.run_id"],
            output_format="list",
        )
    except (mlflow.MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"--query {query!r} cannot be used ({str(error)[:200]}); write MLflow's filter, e.g."
            " \"tags.task = 'location' and params.learning_rate = '0.001'\""
        ) from error


def task_of(run: "Run") -> "Task | None":
    """Return the task of a run; None if its tags name none, or one that is not installed here."""
    from trainers import registry

    try:
        return registry.load(run.data.tags.get("package") or run.data.tags.get("task", ""))
    except UserError:
        return None
