"""Train the runs of a sweep, and tell Optuna of every trial the primary metric: with several seeds its mean."""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from trainers.common.metric_names import FINAL, MetricName, splits_with
from trainers.common.seeds import SEEDS
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.child_processes import ChildOptions, ChildProcesses
from trainers.studies.parent import state_of
from trainers.studies.sweep_plan import Sweep, suggest_flags
from trainers.studies.sweep_trials import RUN, STATE, newest, trials_of

_VALUES = "values"  # noted at a trial: run -> its primary metric


@dataclass(frozen=True)
class Child:
    """A combination or draw of a sweep, its own flags, and its primary metric by seed (nothing: failed, not ended)."""

    name: str
    flags: Mapping[str, Any]
    values: Mapping[str, float]
    state: str

    @property
    def value(self) -> float | None:
        """Its primary metric, the mean over its seeds; None if it failed, or has not ended."""
        return statistics.fmean(self.values.values()) if self.values else None


def train_children(
    sweep: Sweep, study: optuna.Study, folder: Path, worker: str, parent_id: str, options: ChildOptions
) -> list[Child]:
    """Train until the study has its trials, or one failed and is to stop it; return all children, also of others.

    Args:
        folder: That of the sweep.
        worker: Whose trials are this process's own.
        parent_id: The MLflow run above the children.
        options: How many runs are trained at once, and whether a failure stops the others.
    """
    started: dict[Path, _Draw] = {}
    has_failed = False
    with ChildProcesses(options, parent_id) as processes:
        for draw, path, flags in _runs(sweep, study, folder, worker):
            started[path] = draw
            processes.start(path, {**sweep.common, **flags})
            for ended, code in processes.ended(options.parallel - 1):
                has_failed |= started[ended].end(ended, code)
            if has_failed and options.stop_on_failure:
                break
        for ended, code in processes.ended():
            started[ended].end(ended, code)
    found = newest(study)
    return [
        Child(name, flags, _values(trial, flags), trial.user_attrs.get(STATE, "not ended"))
        for name, trial in ({n: found[n] for n in sweep.grid if n in found} or found).items()
        for flags in [sweep.grid.get(name, trial.params)]
    ]


def split_of(folder: Path, sweep: Sweep) -> str:
    """Return the first split, other than test, on which a finished run was evaluated.

    Raises:
        UserError: there is none.
    """
    for split in splits_with(sweep.task.primary_metric, FINAL, RunFolder(folder).results):
        if split != "test":
            return split
    raise UserError(f"{folder} has no evaluated split but test; ask the builder for validation rows")


def _runs(
    sweep: Sweep, study: optuna.Study, folder: Path, worker: str
) -> "Iterator[tuple[_Draw, Path, Mapping[str, Any]]]":
    """Yield every run to train: its trial, folder and own flags."""
    for trial in trials_of(sweep, study, folder, worker):
        draw = _Draw(sweep, study, folder, trial)
        for path, flags in draw.runs.items():
            yield draw, path, flags


class _Draw:
    """A trial that is being trained: one run, or one with every seed, the first failure of which is the trial's."""

    def __init__(self, sweep: Sweep, study: optuna.Study, folder: Path, trial: Trial) -> None:
        self._sweep, self._study, self._trial = sweep, study, trial
        name = trial.user_attrs[RUN]
        flags = sweep.grid[name] if sweep.grid else suggest_flags(trial, sweep.space)
        self.runs = {folder / run: of_run for run, of_run in sweep.with_seeds(name, flags).items()}
        """Folder -> own flags."""
        self._values: dict[str, float] = {}
        self._has_failed = False

    def end(self, path: Path, code: int) -> bool:
        """Note how a run ended, and tell Optuna if that decides the trial; return whether the run failed."""
        value, state = self._outcome(path, code)
        if value is None and not self._has_failed:
            self._has_failed = True
            self._tell(None, f"{state}, {path.name}" if len(self.runs) > 1 else state)
        elif value is not None:
            self._values[_seed_of(self.runs[path])] = value
            if len(self._values) == len(self.runs):
                self._trial.set_user_attr(_VALUES, {seed: self._values[seed] for seed in sorted(self._values)})
                self._tell(statistics.fmean(self._values.values()), state)
        return value is None

    def _outcome(self, path: Path, code: int) -> tuple[float | None, str]:
        """Return the primary metric of a run that has ended, None if it failed, and how it ended."""
        if code:
            return None, state_of(code)
        name = MetricName(FINAL, split_of(path, self._sweep), self._sweep.task.primary_metric)
        value = float(RunFolder(path).results[name.logged])
        return (value, state_of(0)) if math.isfinite(value) else (None, f"failed ({name.metric} is {value})")

    def _tell(self, value: float | None, state: str) -> None:
        self._trial.set_user_attr(STATE, state)
        self._study.tell(self._trial.number, value, state=TrialState.FAIL if value is None else None)


def _seed_of(flags: Mapping[str, Any]) -> str:
    """Return the seeds among flags as the key of a value."""
    return ",".join(str(flags.get(name)) for name in SEEDS)


def _values(trial: FrozenTrial, flags: Mapping[str, Any]) -> dict[str, float]:
    """Return the primary metric of a trial by seed."""
    if trial.value is None:
        return {}
    return trial.user_attrs.get(_VALUES) or {_seed_of(flags): trial.value}
