"""Read study files: YAML mappings of named runs, checked before anything starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainers import registry
from trainers.common import environment
from trainers.contract import Task
from trainers.errors import UserError, suggest
from trainers.settings import layers
from trainers.settings.request import read_request

_STUDIES = environment.CODE / "configs" / "studies"
_SWEEP = re.compile("^(grid|search):", re.MULTILINE)
_WORDS = {dict: "a mapping of names", list: "a list", str: "a name"}


@dataclass(frozen=True)
class SeededStudy:
    """A study of seeds, and by name the flags of every run."""

    seeds: list[int]
    runs: dict[str, dict[str, Any]]


def read_yaml(path: Path, form: str, **kinds: type) -> dict[str, Any]:
    """Read a study from a YAML file, `runs` as flags by the run's name.

    Args:
        form: What such a file holds, for errors.
        kinds: Key -> type of what it holds besides `report` and `runs`; without any, other keys are not checked.

    Raises:
        UserError: The file has another form, or a run has no config or a name that no folder can have.
    """
    content = read_mapping(path, form)
    for key, kind in {"runs": dict, **kinds}.items():
        if not isinstance(content.get(key), kind):
            problem = f"{key} is {content[key]!r}, expected {_WORDS[kind]}" if key in content else f"there is no {key}"
            raise UserError(f"{path}: {problem}; write {form}")
    known = ["report", "runs", *kinds]
    if unknown := [str(key) for key in content if kinds and key not in known]:
        raise UserError(f"{path}: unknown key {unknown[0]!r}.{suggest(unknown[0], known)} Write {form}")
    for name, flags in content["runs"].items():
        if not isinstance(flags, dict):
            raise UserError(f"{path}: the run {name!r} is {flags!r}, expected flags by name; write {form}")
    runs = {str(name): flags for name, flags in content["runs"].items()}
    if not runs:
        raise UserError(f"{path} has no runs; name at least one")
    check_runs(path, runs)
    return {**content, "runs": runs}


def read_mapping(path: Path, form: str) -> dict[str, Any]:
    """Read a YAML file of names and values; raise a `UserError` that asks for `form` if it is none."""
    try:
        return layers.read_mapping(path, yaml.SafeLoader)
    except UserError as error:
        raise UserError(f"{error}; write {form}") from error


def read_seeded(path: Path) -> SeededStudy:
    """Read a study of seeds and runs.

    Raises:
        UserError: It is not of the form `seeds: [1, 2]` and `runs: {name: {config: …, flag: value}, …}`.
    """
    content = read_yaml(path, "`seeds`, a list of numbers, and `runs` (name: flags), each with a config", seeds=list)
    try:
        seeds = [int(seed) for seed in content["seeds"]]
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: seeds is {content['seeds']!r}, expected whole numbers; correct them") from error
    if not seeds:
        raise UserError(f"{path} has no seeds; name at least one")
    return SeededStudy(seeds, content["runs"])


def studies_of(path: Path) -> dict[str, Path]:
    """Return by part the files of the studies that a study only reports on; nothing if it has runs of its own.

    Raises:
        UserError: `studies` is no mapping of parts to studies, or it names one that does not exist.
    """
    form = "`report` and `studies` (part: study)"
    content = read_mapping(path, form)
    if "studies" not in content:
        return {}
    if unknown := [str(key) for key in content if key not in ("report", "studies")]:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; write {form}")
    if not isinstance(content["studies"], dict) or not content["studies"]:
        raise UserError(f"{path}: studies is {content['studies']!r}, expected a mapping of names; write {form}")
    try:
        parts = {str(part): study_path(str(study)) for part, study in content["studies"].items()}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for file in parts.values():
        if "runs" not in read_mapping(file, form):
            raise UserError(f"{path}: studies names {file.stem}, which has no runs of its own; name studies with runs")
    return parts


def check_runs(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise a `UserError` unless every run has a config, flags with values, and a name that can be a folder's."""
    for name, flags in runs.items():
        if "config" not in flags or Path(name).name != name or name == "..":
            raise UserError(f"{path}: the run {name!r} needs a config, and a name that can be a folder's")
        layers.as_strings(flags, f"{path}: the run {name!r}")


def study_path(name: str, sweeps: bool = False) -> Path:
    """Return the file that `--study` names; raise a `UserError` with the studies, or sweeps, if there is none."""
    for path in (Path(name), _STUDIES / f"{name}.yaml"):
        if name and path.is_file():
            return path
    known, kind = study_names(sweeps), "sweep" if sweeps else "study"
    missing = f"there is no {kind} {name!r}" if name else f"no {kind} given"
    raise UserError(f"--study: {missing}; configs/studies/ has: {', '.join(known)}.{suggest(name, known)}")


def study_names(sweeps: bool = False) -> list[str]:
    """Return the names of the studies, or of the sweeps, in configs/studies/."""
    paths = sorted(_STUDIES.glob("*.yaml"))
    return [path.stem for path in paths if bool(_SWEEP.search(path.read_text(encoding="utf-8"))) is sweeps]


def task_of(path: Path, flags: Mapping[str, Any]) -> Task:
    """Return the task that a run of a study trains; the names of its flags are checked as the run will check them."""
    try:
        return read_request(tokens_of(flags), registry.load).task
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def tokens_of(flags: Mapping[str, Any]) -> list[str]:
    """Return flags of a study as the command line for trainers/run.py."""
    return layers.argv_of(layers.as_strings(flags, "study"))
