"""What does fine-tuning on invented places do to an old map, and what helps? One command gives table and figure.

    python -m tasks.geography.forgetting --study forgetting_small
    python -m tasks.geography.forgetting --study forgetting --base outputs/runs/distance-001

A study is a YAML file below configs/studies/: the config of the base model (trained first, unless --base names a run)
and the fine-tuning runs, each with its flags for trainers/run.py. Each run is a tracked run of its own, in the study's
folder; what is finished there already is used again. For every checkpoint the study measures the probe of real cities
and the error on real pairs that no run trained on; the table compares before and after.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.errors import UserError, exit_code_of
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.child_runs import folder_of, trained
from trainers.studies.study_file import check_runs, no_study, read_yaml, study_path

_FORM = "`base` and `runs` (name: flags), each with a config, and as `reference` the name of one of the runs"


@dataclass
class StudyOptions:
    """Which study, from which base."""

    study: str = option("forgetting_small", "a YAML file, or its name below configs/studies/")
    base: str | None = option(None, "folder of a trained distance run; default: the study's base config is trained")
    output_dir: str | None = option(None, "folder of the study; default: <EXP_DIR_PREFIX>/studies/<study>")


@dataclass(frozen=True)
class Study:
    """A study as written down: config and flags of the base and, by name, of every fine-tuning run.

    `reference` names the run whose fall the others are compared with.
    """

    base: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    reference: str


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    return exit_code_of(lambda: _study(sys.argv[1:] if argv is None else argv))


def _study(argv: list[str]) -> None:
    environment.set_up()
    from trainers.settings import help_text

    given = help_text.read_or_help(argv, __doc__, StudyOptions)
    if given is None:
        return
    study, folder = read_study(study_path(given.study)), folder_of(given.study, given.output_dir)
    base = RunFolder(Path(given.base).expanduser().resolve()) if given.base else trained(folder / "base", study.base)
    _check_tested(base)
    replay = {"replay_dataset": str(base.dataset)}  # the rows that are replayed: the base's own
    runs = {}
    for name, flags in study.runs.items():
        replayed = replay if "replay_ratio" in flags else {}
        runs[name] = trained(folder / name, {**flags, "init_from": base.path, **replayed})
        _check_tested(runs[name])

    from tasks.geography.forgetting_report import report

    report(folder, base, runs, study.reference)


def read_study(path: Path) -> Study:
    """The study in a YAML file.

    Raises:
        UserError: it is not of the form `base: {config: …}` and `runs: {name: {config: …, flag: value}, …}`.
    """
    content = read_yaml(path, _FORM)
    try:
        study = Study(dict(content["base"]), content["runs"], str(content["reference"]))
    except (KeyError, TypeError, ValueError) as error:
        raise no_study(path, _FORM, error) from error
    check_runs(path, {"base": study.base})
    if study.reference not in study.runs or "base" in study.runs:
        raise UserError(
            f"{path}: the reference {study.reference!r} must be one of the runs, and none may be called base"
        )
    return study


def _check_tested(run: RunFolder) -> None:
    """A finished run must have what the study compares: its error on test pairs.

    Raises:
        UserError: it is no run on pairs, not finished, or has no test split.
    """
    from tasks.geography.forgetting_report import TESTED

    if TESTED not in run.results:
        raise UserError(f"{run.path} has no {TESTED} in its results.json; the study needs runs on pairs, with --n_test")


if __name__ == "__main__":
    sys.exit(main())
