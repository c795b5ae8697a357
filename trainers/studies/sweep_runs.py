"""Train the children of a sweep as trials of an Optuna study, each in a process of its own."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from trainers.common.metric_names import FINAL, MetricName, splits_with
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.child_runs import ChildOptions, ChildProcesses, command_of
from trainers.studies.parent import state_of
from trainers.studies.sweep_plan import Sweep, suggest_flags

_RUN, _WORKER, _STATE, _AGAIN = "run", "worker", "state", "again"  # noted at a trial
_PLAN = "plan"  # noted at a study
_SEED = 307
_TRIES, _WAIT_S = 5, 0.5


@dataclass(frozen=True)
class Child:
    """A run of a sweep, its own flags, and its primary metric (None: it failed, or has not ended)."""

    name: str
    flags: Mapping[str, Any]
    value: float | None
    state: str


def train_children(
    sweep: Sweep, study: optuna.Study, folder: Path, worker: str, parent_id: str, options: ChildOptions
) -> list[Child]:
    """Train until the study has its trials, or one failed and is to stop it; return all children, also of others.

    Args:
        folder: That of the sweep.
        worker: Whose trials are this process's own.
        parent_id: The MLflow run above the children.
        options: How many are trained at once, and whether a failure stops the others.
    """
    started: dict[Path, Trial] = {}
    has_failed = False
    with ChildProcesses(options.parallel, parent_id) as processes:
        for trial in _trials(sweep, study, folder, worker):
            name = trial.user_attrs[_RUN]
            flags = sweep.grid[name] if sweep.grid else suggest_flags(trial, sweep.space)
            started[folder / name] = trial
            processes.start(folder / name, command_of(folder / name, {**sweep.common, **flags}))
            for path, code in processes.ended(options.parallel - 1):
                has_failed |= _tell(sweep, study, started[path], path, code)
            if has_failed and options.stop_on_failure:
                break
        for path, code in processes.ended():
            _tell(sweep, study, started[path], path, code)
    newest = _newest(study)
    return [
        Child(name, sweep.grid.get(name, t.params), t.value, t.user_attrs.get(_STATE, "not ended"))
        for name, t in ({n: newest[n] for n in sweep.grid if n in newest} or newest).items()
    ]


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


def split_of(folder: Path, sweep: Sweep) -> str:
    """Return the first split, other than test, on which a finished run was evaluated.

    Raises:
        UserError: there is none.
    """
    for split in splits_with(sweep.task.primary_metric, FINAL, RunFolder(folder).results):
        if split != "test":
            return split
    raise UserError(f"{folder} has no evaluated split but test; ask the builder for validation rows")


def _tell(sweep: Sweep, study: optuna.Study, trial: Trial, folder: Path, code: int) -> bool:
    """Tell Optuna how a run ended, with the task's primary metric; return whether it failed."""
    value, state = None, state_of(code)
    if code == 0:
        name = MetricName(FINAL, split_of(folder, sweep), sweep.task.primary_metric)
        value = float(RunFolder(folder).results[name.logged])
        if not math.isfinite(value):
            value, state = None, f"failed ({name.metric} is {value})"
    trial.set_user_attr(_STATE, state)
    study.tell(trial.number, value, state=TrialState.FAIL if value is None else None)
    return value is None


def _trials(sweep: Sweep, study: optuna.Study, folder: Path, worker: str) -> Iterator[Trial]:
    """Yield the trials that this worker is to train; one that was interrupted is queued again.

    A grid's combinations are queued trials, in its order, and it may grow. Optuna's GridSampler offers neither, and
    raises a KeyError at a trial that was queued again when one combination is left.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(_WORKER) == worker:
            if not sweep.grid:  # a grid's is queued below, at its place
                study.enqueue_trial(trial.params, {_RUN: _name(trial), _AGAIN: True})
            study.tell(trial.number, state=TrialState.FAIL)
    for name, flags in sweep.grid.items():
        newest = _newest(study).get(name)
        if newest is None or not RunFolder(folder / name).is_finished:
            if newest is None or newest.state is not TrialState.WAITING:
                study.enqueue_trial(dict(flags), {_RUN: name})
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
    if _RUN in trial.user_attrs:
        return trial
    place = _n_drawn(study.get_trials(deepcopy=False)[: trial.number])
    if place >= sweep.n_trials:  # another process was faster
        study.tell(trial.number, state=TrialState.FAIL)
        return None
    # Seeded by place: a resumed search draws what an uninterrupted one would, and no two workers draw the same.
    study.sampler = optuna.samplers.TPESampler(seed=_SEED + place)
    trial.set_user_attr(_RUN, f"trial-{place:03d}")
    return trial


def _n_drawn(trials: Sequence[FrozenTrial]) -> int:
    """Return the number of children of a search; a trial that is repeated is the same child."""
    return sum(_AGAIN not in trial.user_attrs for trial in trials)


def _newest(study: optuna.Study) -> dict[str, FrozenTrial]:
    """Return the newest trial of every child, except those abandoned before they ended."""
    trials = study.get_trials(deepcopy=False)
    return {_name(trial): trial for trial in trials if trial.state is not TrialState.FAIL or _STATE in trial.user_attrs}


def _name(trial: FrozenTrial) -> str:
    return trial.user_attrs.get(_RUN, f"trial-{trial.number:03d}")


def _shown(storage: str) -> str:
    """Return the address without its password."""
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(storage)
