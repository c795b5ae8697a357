"""Several runs that belong together: a YAML file below configs/studies/, and runs that are trained once.

Most studies are seeds, and by name the flags of every run for trainers/run.py; each is trained with every seed.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers import environment
from trainers.checkpoints import last_checkpoint
from trainers.errors import UserError

_RUN = environment.ROOT / "trainers" / "run.py"
_STOPPING_S = 60.0  # what an interrupted run is given to save and to end its record


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


def train_all(study: SeededStudy, folder: Path) -> dict[str, list[Path]]:
    """Train what is not finished yet; the folders of every run, one for each seed."""
    return {
        name: [trained(folder / f"{name}-{seed}", {**flags, "seed": seed}) for seed in study.seeds]
        for name, flags in study.runs.items()
    }


def folder_of(study: str, output_dir: str | None) -> Path:
    """Where a study's runs and tables go: below the prefix.

    Raises:
        UserError: `output_dir` lies elsewhere.
    """
    from trainers import guards

    prefix = environment.resolved_prefix()
    return guards.inside(prefix, Path(output_dir or prefix / "studies" / Path(study).stem))


def study_path(name: str) -> Path:
    """The file that `--study name` means.

    Raises:
        UserError: there is none.
    """
    studies = environment.ROOT / "configs" / "studies"
    for path in (Path(name), studies / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in studies.glob("*.yaml")))
    raise UserError(f"there is no study {name!r}; configs/studies/ has: {known}")


def trained(folder: Path, flags: dict[str, Any]) -> Path:
    """Train a run in `folder` unless this very run is finished there; return the folder.

    Raises:
        UserError: another run lies there, or the training failed.
    """
    code = train(folder, flags)
    if code != 0:
        raise UserError(f"the run {folder.name} ended with exit code {code} (its own words stand above)")
    return folder


def train(folder: Path, flags: dict[str, Any], variables: Mapping[str, str] | None = None) -> int:
    """Train a run in `folder` unless this very run is finished there, in a process of its own; return its exit code.

    Arguments:
        flags: for trainers/run.py. variables: of the environment, besides this process's own.

    Raises:
        UserError: another run lies there, or another process is writing this one.
    """
    from trainers import guards

    argv = tokens_of({**flags, "output_dir": str(folder)})
    command = [sys.executable, str(_RUN), *argv]
    if guards.is_held(folder):
        raise UserError(f"another process is writing the run {folder}; wait until it has ended, then start again")
    if (folder / guards.MARKER).is_file():
        found = guards.read_marker(folder).get("command", "no known command")
        if found.removesuffix(" --overwrite") != shlex.join(command[1:]):
            raise UserError(f"{folder} was made by another command ({found}); give another --output_dir, or delete it")
        if (folder / "results.json").is_file():
            print(f"finished already: {folder}", flush=True)
            return 0
        command += ["--resume_from_checkpoint", "last"] if last_checkpoint(folder) else ["--overwrite"]
    print(f"\n== {folder.name}: {shlex.join(argv)}", flush=True)
    return _exit_code(command, variables or {})


def tokens_of(flags: Mapping[str, Any]) -> list[str]:
    """Flags of a study as the command line for trainers/run.py."""
    from trainers.layers import strings, tokens

    return [token for name, values in strings(flags, "study").items() for token in tokens(name, values)]


def results_of(folder: Path) -> dict[str, Any]:
    """What a finished run measured.

    Raises:
        UserError: it is no finished run.
    """
    try:
        return dict(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder} is no finished run (no readable results.json); give another") from error


def _exit_code(command: list[str], variables: Mapping[str, str]) -> int:
    """Start a run and wait for it; when this process is interrupted, the run is first given time to end properly."""
    run = subprocess.Popen(command, cwd=environment.ROOT, env={**os.environ, **variables})
    try:
        return run.wait()
    except BaseException as stop:
        if not isinstance(stop, KeyboardInterrupt):  # Ctrl-C has reached the run too; a second signal would cut it off
            run.terminate()
        try:
            run.wait(_STOPPING_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            run.kill()
        raise


def no_study(path: Path, form: str, error: Exception) -> UserError:
    """What to say of a file that is not of the form that is described in `form`."""
    return UserError(f"{path} is no study ({type(error).__name__}: {' '.join(str(error).split())}); write {form}")
