"""The forgetting study: a base model, its fine-tuning runs, and a report on what became of the old map.

The study's file names the config of the base model (trained first, unless --base names a run) and the fine-tuning runs,
each with its flags for trainers/run.py. For every checkpoint the report measures the probe of real cities and the error
on real pairs that no run trained on; the table compares before and after.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.geography.fine_tuning import named, seeded, train_bases
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.parent import Children
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
    protocol: Literal["clean", "original"] = option(
        "clean", "protocol of the probe whose fall is measured: clean, or that of the first experiments (original)"
    )
    read: Literal["end", "id"] = option(
        "end", "token at which the map is read: the end of the probe's prompt, or the last digit of the number (id)"
    )

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train what is not finished yet; write and track table and figure of the finished ones."""
        from tasks.geography.city_probe import CityProbeOptions

        probe = CityProbeOptions(protocol=self.protocol, read=self.read)
        study = read_study(path)
        bases = train_bases(self.base, study.base, folder, children)
        for base in bases.values():
            _check_tested(base)
        jobs = {(name, seed): folder / named(name, seed) for seed in bases for name in study.runs}
        children.train({place: _flags(study.runs[name], bases[seed], seed) for (name, seed), place in jobs.items()})
        runs: dict[str, dict[int | None, RunFolder]] = {name: {} for name in study.runs}
        for (name, seed), place in jobs.items():
            if children.states[place.name] == "finished":
                _check_tested(RunFolder(place))
                runs[name][seed] = RunFolder(place)
        if not runs[study.reference]:
            children.check()

        from tasks.geography.forgetting_report import report

        report(folder, bases, runs, study.reference, children.tracker, probe)


def _flags(flags: dict[str, Any], base: RunFolder, seed: int | None) -> dict[str, Any]:
    """Return the flags of a fine-tuning from a base; replay is of the base's rows."""
    replay = {"replay_dataset": str(base.dataset)} if "replay_ratio" in flags else {}
    return {**seeded(flags, seed), "init_from": base.path, **replay}


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
