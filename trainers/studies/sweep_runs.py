"""The runs of a sweep: each in a process of its own; what became of them."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common.metric_names import FINAL, MetricName, splits_with
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.child_runs import train
from trainers.studies.sweep_plan import Sweep, suggest_flags
from trainers.tracking.mlflow_store import PARENT_VARIABLE

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_WORKER, _STATE = "worker", "state"  # noted at a trial
_PLAN = "plan"  # noted at a study
_SEED = 307
_TRIES, _WAIT_S = 5, 0.5


@dataclass(frozen=True)
class Child:
    """A run of a sweep: what it was given, and what it reached (None: it failed, or did not end yet)."""

    name: str
    flags: Mapping[str, Any]
    value: float | None
    state: str


def train_grid(sweep: Sweep, folder: Path, parent_id: str) -> list[Child]:
    """Train what is not finished yet of a grid, in its order."""
    children = []
    for name, flags in sweep.grid.items():
        children.append(Child(name, flags, *_outcome(sweep, folder / name, flags, parent_id)))
    return children


def train_search(sweep: Sweep, study: "Study", folder: Path, worker: str, parent_id: str) -> list[Child]:
    """Train until the study has its trials; return all of them, also those of other processes."""
    from optuna.trial import TrialState

    for trial in _trials(sweep, study, worker):
        value, state = _outcome(sweep, folder / _name(trial), suggest_flags(trial, sweep.space), parent_id)
        trial.set_user_attr(_STATE, state)
        study.tell(trial.number, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)
    found = [trial for trial in study.get_trials(deepcopy=False) if trial.number < sweep.n_trials]
    return [Child(_name(t), t.params, t.value, t.user_attrs.get(_STATE, "not ended")) for t in found]


def open_study(sweep: Sweep, storage: str) -> "Study":
    """The search's trials in a database, which several machines may share.

    Raises:
        UserError: the database cannot be used, or has another search of this name.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if sweep.task.greater_is_better else "minimize"
    with storage_errors(storage):
        _make_tables(storage)
        study = optuna.create_study(storage=storage, study_name=sweep.name, direction=direction, load_if_exists=True)
        if study.user_attrs.get(_PLAN, sweep.digest) == sweep.digest:
            study.set_user_attr(_PLAN, sweep.digest)
            return study
    raise UserError(
        f"--storage {_shown(storage)} has another search called {sweep.name} (of a search, only n_trials may change);"
        " rename the YAML file, or give another --storage and --output_dir"
    )


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Say in a sentence what is wrong with the database, at the start or later."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise UserError(
            f"--storage {_shown(storage)} cannot be used ({str(error)[:200]}); correct it, then start again: finished"
            " runs are used again"
        ) from error


def _make_tables(storage: str) -> None:
    """Make Optuna's tables in a new database; of several machines that start at once, one does and the others wait."""
    import optuna
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for _ in range(_TRIES):
        try:
            optuna.storages.RDBStorage(storage)
            return
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
        time.sleep(_WAIT_S)


def split_of(folder: Path, sweep: Sweep) -> str:
    """The split that a finished run was evaluated on in training; `test` is for the end.

    Raises:
        UserError: there is none.
    """
    for split in splits_with(sweep.task.primary_metric, FINAL, RunFolder(folder).results):
        if split != "test":
            return split
    raise UserError(f"{folder} has no evaluated split but test; ask the builder for validation rows")


def ranked(children: Sequence[Child], greater_is_better: bool) -> list[Child]:
    """The best first; those without a value last."""
    sign = -1 if greater_is_better else 1
    return sorted(children, key=lambda child: (child.value is None, sign * (child.value or 0)))


def _outcome(sweep: Sweep, folder: Path, flags: Mapping[str, Any], parent_id: str) -> tuple[float | None, str]:
    """Train one child; the task's primary metric, if it has one in the end, and what became of it in words."""
    code = train(folder, {**sweep.common, **flags}, {PARENT_VARIABLE: parent_id})
    if code != 0:
        return None, f"failed (exit code {code})"
    name = MetricName(FINAL, split_of(folder, sweep), sweep.task.primary_metric)
    value = float(RunFolder(folder).results[name.logged])
    return (value, "finished") if math.isfinite(value) else (None, f"failed ({name.metric} is {value})")


def _trials(sweep: Sweep, study: "Study", worker: str) -> "Iterator[Any]":
    """This worker's interrupted trials, then new ones until there are enough."""
    import optuna
    from optuna.trial import TrialState

    for found in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if found.user_attrs.get(_WORKER) == worker:
            yield optuna.Trial(study, found._trial_id)
    while len(study.get_trials(deepcopy=False)) < sweep.n_trials:
        trial = study.ask()
        trial.set_user_attr(_WORKER, worker)
        if trial.number >= sweep.n_trials:  # another process was faster
            study.tell(trial.number, state=TrialState.FAIL)
            return
        # Seeded by trial: a resumed search draws what an uninterrupted one would, and no two workers draw the same.
        study.sampler = optuna.samplers.TPESampler(seed=_SEED + trial.number)
        yield trial


def _name(trial: "FrozenTrial | Any") -> str:
    return f"trial-{trial.number:03d}"


def _shown(storage: str) -> str:
    """The address without its password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(storage)
