"""Runs as MLflow's store has them: found by MLflow's own filter, over all experiments."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError
from trainers.tracking.mlflow_store import open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

    from trainers.contract import Task

_PAGE = 1000


def find(query: str, deleted_only: bool = False, with_deleted: bool = False) -> "list[Run]":
    """The runs that match a filter, newest first.

    Arguments:
        query: MLflow's filter, e.g. `tags.task = 'location'`; empty for all.
        deleted_only, with_deleted: of runs that were marked deleted.

    Raises:
        UserError: no such store, or no filter.
    """
    from mlflow import MlflowException
    from mlflow.entities import ViewType
    from sqlalchemy.exc import SQLAlchemyError

    view = ViewType.DELETED_ONLY if deleted_only else ViewType.ALL if with_deleted else ViewType.ACTIVE_ONLY
    open_store("Default")  # MLflow's own, which is always there: nothing is made
    experiments = _experiments(ViewType.ACTIVE_ONLY if view == ViewType.ACTIVE_ONLY else ViewType.ALL)
    try:
        return _pages(experiments, query, view)
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"--query {query!r} cannot be used ({str(error)[:200]}); write MLflow's filter, e.g."
            " \"tags.task = 'location' and params.learning_rate = '0.001'\""
        ) from error


def task_of(run: "Run") -> "Task | None":
    """The task of a run; None if the record names none, or one that is not installed here."""
    from trainers import registry

    try:
        return registry.load(run.data.tags.get("package") or run.data.tags.get("task", ""))
    except UserError:
        return None


def _experiments(view: int) -> list[str]:
    from mlflow import MlflowClient

    return [experiment.experiment_id for experiment in _all(MlflowClient().search_experiments, view_type=view)]


def _pages(experiments: Sequence[str], query: str, view: int) -> "list[Run]":
    from mlflow import MlflowClient

    return _all(
        MlflowClient().search_runs,
        experiment_ids=experiments,
        filter_string=query,
        run_view_type=view,
        max_results=_PAGE,
        order_by=["attributes.start_time DESC", "attributes.run_id"],
    )


def _all(search: Any, **asked: Any) -> list[Any]:
    """The pages of a search one after the other."""
    page = search(**asked)
    found = list(page)
    while page.token:
        page = search(**asked, page_token=page.token)
        found += page
    return found
