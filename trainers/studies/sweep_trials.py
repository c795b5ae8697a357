"""The trials of a sweep in Optuna's database: opened, queued again after an interruption, drawn, named."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.sweep_plan import Sweep

RUN, STATE = "run", "state"
"""Noted at a trial: its name, and how it ended."""
_WORKER, _AGAIN = "worker", "again"
_PLAN = "plan"  # noted at a study
_SEED = 307
_TRIES, _WAIT_S = 5, 0.5


def open_study(sweep: Sweep, storage: str) -> optuna.Study:
    """Open the sweep's trials in a database, which several machines may share.

    Raises:
        UserError: the database cannot be used, or has another sweep of this name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if sweep.task.greater_is_better else "minimize"
    with storage_errors(storage):
        _make_tables(storage)
        study = optuna.create_study(storage=storage, study_name=sweep.name, direction=direction, load_if_exists=True)
        if study.user_attrs.get(_PLAN, sweep.digest) == sweep.digest:
            study.set_user_attr(_PLAN, sweep.digest)
            return study
    raise UserError(
        f"--storage {_shown(storage)} has another sweep called {sweep.name} (only n_trials, or the values of a"
        " grid, may change); rename the YAML file, or give another --output_dir and --storage"
    )


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Turn an error of the database into one UserError."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise UserError(
            f"--storage {_shown(storage)} cannot be used ({str(error)[:200]}); correct it, then start again: finished"
            " runs are used again"
        ) from error


def _make_tables(storage: str) -> None:
    """Create Optuna's tables in a new database; of several machines that start at once, one does and others wait."""
    for _ in range(_TRIES):
        try:
            optuna.storages.RDBStorage(storage)
            return
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
        time.sleep(_WAIT_S)


def trials_of(sweep: Sweep, study: optuna.Study, folder: Path, worker: str) -> Iterator[Trial]:
    """Yield the trials that this worker is to train; one that was interrupted is queued again.

    A grid's combinations are queued trials, in its order, and it may grow. Optuna's GridSampler offers neither, and
    raises a KeyError at a trial that was queued again when one combination is left.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(_WORKER) == worker:
            if not sweep.grid:  # a grid's is queued below, at its place
                study.enqueue_trial(trial.params, {RUN: name_of(trial), _AGAIN: True})
            study.tell(trial.number, state=TrialState.FAIL)
    for name, flags in sweep.grid.items():
        last = newest(study).get(name)
        if last is None or not RunFolder(folder / name).is_finished:
            if last is None or last.state is not TrialState.WAITING:
                study.enqueue_trial(dict(flags), {RUN: name})
            yield _ask(study, worker)
    while not sweep.grid and (trial := _draw(sweep, study, worker)) is not None:
        yield trial


def _ask(study: optuna.Study, worker: str) -> Trial:
    """Return the next trial, queued or new, marked as this worker's."""
    trial = study.ask()
    trial.set_user_attr(_WORKER, worker)
    return trial


def _draw(sweep: Sweep, study: optuna.Study, worker: str) -> Trial | None:
    """Return the next trial of a search, named by its place, or None once there are enough."""
    trials = study.get_trials(deepcopy=False)
    is_queued = any(trial.state is TrialState.WAITING for trial in trials)
    if not is_queued and _n_drawn(trials) >= sweep.n_trials:
        return None
    trial = _ask(study, worker)
    if RUN in trial.user_attrs:
        return trial
    place = _n_drawn(study.get_trials(deepcopy=False)[: trial.number])
    if place >= sweep.n_trials:  # another process was faster
        study.tell(trial.number, state=TrialState.FAIL)
        return None
    # Seeded by place: a resumed search draws what an uninterrupted one would, and no two workers draw the same.
    study.sampler = optuna.samplers.TPESampler(seed=_SEED + place)
    trial.set_user_attr(RUN, f"trial-{place:03d}")
    return trial


def _n_drawn(trials: Sequence[FrozenTrial]) -> int:
    """Return the number of children of a search; a trial that is repeated is the same child."""
    return sum(_AGAIN not in trial.user_attrs for trial in trials)


def newest(study: optuna.Study) -> dict[str, FrozenTrial]:
    """Return the newest trial of every child, except those abandoned before they ended."""
    trials = study.get_trials(deepcopy=False)
    return {
        name_of(trial): trial for trial in trials if trial.state is not TrialState.FAIL or STATE in trial.user_attrs
    }


def name_of(trial: FrozenTrial) -> str:
    """Return the name of a trial's child."""
    return trial.user_attrs.get(RUN, f"trial-{trial.number:03d}")


def _shown(storage: str) -> str:
    """Return the address without its password."""
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(storage)
