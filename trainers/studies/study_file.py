"""Read study files: YAML mappings of named runs, checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.contract import Task
from trainers.errors import UserError, suggest

_STUDIES = environment.ROOT / "configs" / "studies"


@dataclass(frozen=True)
class SeededStudy:
    """A study as written down: the seeds, and by name the flags of every run."""

    seeds: list[int]
    runs: dict[str, dict[str, Any]]


def read_yaml(path: Path, form: str) -> dict[str, Any]:
    """The study in a YAML file as written down, its `runs` being flags by name.

    Arguments:
        form: what such a file is to hold, for the error's text.

    Raises:
        UserError: no YAML, no runs, or runs that no folder can be called like.
    """
    content = read_mapping(path, form)
    try:
        runs = {str(name): dict(flags) for name, flags in content["runs"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_study(path, form, error) from error
    check_runs(path, runs)
    if not runs:
        raise UserError(f"{path} has no runs; name at least one")
    return {**content, "runs": runs}


def read_mapping(path: Path, form: str) -> dict[str, Any]:
    """What a YAML file of names and values holds.

    Raises:
        UserError: it is no such file.
    """
    import yaml

    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise no_study(path, form, error) from error


def read_seeded(path: Path) -> SeededStudy:
    """A study of seeds and runs.

    Raises:
        UserError: it is not of the form `seeds: [1, 2]` and `runs: {name: {config: …, flag: value}, …}`.
    """
    form = "`seeds`, a list of numbers, and `runs` (name: flags), each with a config"
    content = read_yaml(path, form)
    try:
        seeds = [int(seed) for seed in content["seeds"]]
    except (KeyError, TypeError, ValueError) as error:
        raise no_study(path, form, error) from error
    if not seeds:
        raise UserError(f"{path} has no seeds; name at least one")
    return SeededStudy(seeds, content["runs"])


def check_runs(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Every run needs a config and a name that can be a folder's.

    Raises:
        UserError: one has not.
    """
    for name, flags in runs.items():
        if "config" not in flags or Path(name).name != name or name == "..":
            raise UserError(f"{path}: the run {name!r} needs a config, and a name that can be a folder's")


def study_path(name: str) -> Path:
    """The file that `--study name` means.

    Raises:
        UserError: there is none.
    """
    for path in (Path(name), _STUDIES / f"{name}.yaml"):
        if name and path.is_file():
            return path
    known = study_names()
    missing = f"there is no study {name!r}" if name else "no study given"
    raise UserError(f"{missing}; configs/studies/ has: {', '.join(known)}.{suggest(name, known)}")


def study_names() -> list[str]:
    """The files of configs/studies/, by name."""
    return sorted(path.stem for path in _STUDIES.glob("*.yaml"))


def task_of(flags: Mapping[str, Any]) -> Task:
    """The task that a run of a study trains; the names of its flags are checked as the run will check them."""
    from trainers import registry
    from trainers.settings import resolve

    return resolve.read_request(tokens_of(flags), registry.load).task


def tokens_of(flags: Mapping[str, Any]) -> list[str]:
    """Flags of a study as the command line for trainers/run.py."""
    from trainers.settings.layers import argv_of, as_strings

    return argv_of(as_strings(flags, "study"))


def no_study(path: Path, form: str, error: Exception) -> UserError:
    """What to say of a file that is not of the form that is described in `form`."""
    return UserError(f"{path} is no study ({type(error).__name__}: {' '.join(str(error).split())}); write {form}")
