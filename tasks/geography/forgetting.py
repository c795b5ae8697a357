"""The forgetting study: a base model, its fine-tuning runs, and a report on what became of the old map.

The study's file names the config of the base model (trained first, unless --base names a run) and the fine-tuning runs,
each with its flags for trainers/run.py. For every checkpoint the report measures the probe of real cities and the error
on real pairs that no run trained on; the table compares before and after.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.child_runs import train_run
from trainers.studies.study_file import check_runs, read_yaml

_FORM = "`base` and `runs` (name: flags), each with a config, and as `reference` the name of one of the runs"


@dataclass(frozen=True)
class Study:
    """A study as written down: config and flags of the base and, by name, of every fine-tuning run.

    `reference` names the run whose fall the others are compared with.
    """

    base: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    reference: str


@dataclass
class Forgetting:
    """What fine-tuning on invented places does to an old map, and what helps."""

    base: str | None = option(None, "folder of a trained distance run; default: the study's base config is trained")

    def run(self, path: Path, folder: Path) -> None:
        """Train what is not finished yet; write table and figure."""
        study = read_study(path)
        given = Path(os.path.expanduser(self.base or "")).resolve()
        base = RunFolder(given) if self.base else train_run(folder / "base", study.base)
        _check_tested(base)
        runs = {}
        for name, flags in study.runs.items():
            replay = {"replay_dataset": str(base.dataset)} if "replay_ratio" in flags else {}
            runs[name] = train_run(folder / name, {**flags, "init_from": base.path, **replay})
            _check_tested(runs[name])

        from tasks.geography.forgetting_report import report

        report(folder, base, runs, study.reference)


def read_study(path: Path) -> Study:
    """Read the study in a YAML file.

    Raises:
        UserError: It is not of the form `base: {config: …}` and `runs: {name: {config: …, flag: value}, …}`.
    """
    content = read_yaml(path, _FORM, base=dict, reference=str)
    study = Study(content["base"], content["runs"], content["reference"])
    check_runs(path, {"base": study.base})
    if study.reference not in study.runs or "base" in study.runs:
        raise UserError(
            f"{path}: the reference {study.reference!r} must be one of the runs, and none may be called base"
        )
    return study


def _check_tested(run: RunFolder) -> None:
    """Raise a `UserError` unless a run is finished and has what the study compares: its error on test pairs."""
    from tasks.geography.forgetting_report import TESTED

    if TESTED not in run.results:
        raise UserError(f"{run.path} has no {TESTED} in its results.json; the study needs runs on pairs, with --n_test")
