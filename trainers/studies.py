"""Several runs that belong together: a YAML file below configs/studies/, and runs that are trained once.

Most studies are seeds, and by name the flags of every run for trainers/run.py; each is trained with every seed.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers import environment
from trainers.errors import UserError

_RUN = environment.ROOT / "trainers" / "run.py"


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
    import yaml

    try:
        content = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        runs = {str(name): dict(flags) for name, flags in content["runs"].items()}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_study(path, form, error) from error
    check_runs(path, runs)
    if not runs:
        raise UserError(f"{path} has no runs; name at least one")
    return {**content, "runs": runs}


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
    from trainers import guards
    from trainers.layers import strings, tokens

    argv = [t for n, v in strings({**flags, "output_dir": str(folder)}, "study").items() for t in tokens(n, v)]
    command = [sys.executable, str(_RUN), *argv]
    if (folder / guards.MARKER).is_file():
        found = guards.read_marker(folder).get("command", "no known command")
        if found.removesuffix(" --overwrite") != shlex.join(command[1:]):
            raise UserError(f"{folder} was made by another command ({found}); give another --output_dir, or delete it")
        if (folder / "results.json").is_file():
            print(f"finished already: {folder}", flush=True)
            return folder
        command += ["--resume_from_checkpoint", "last"] if _goes_on(folder) else ["--overwrite"]
    print(f"\n== {folder.name}: {shlex.join(argv)}", flush=True)
    code = subprocess.run(command, cwd=environment.ROOT).returncode
    if code != 0:
        raise UserError(f"the run {folder.name} ended with exit code {code} (its own words stand above)")
    return folder


def results_of(folder: Path) -> dict[str, Any]:
    """What a finished run measured.

    Raises:
        UserError: it is no finished run.
    """
    try:
        return dict(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder} is no finished run (no readable results.json); give another") from error


def _goes_on(folder: Path) -> bool:
    """Whether an interrupted run has a checkpoint with steps left to do."""
    from trainers import guards

    checkpoint = guards.last_checkpoint(folder)
    if checkpoint is None:
        return False
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        return state["global_step"] < state["max_steps"]
    except (ValueError, KeyError, TypeError):
        return True  # damaged: resuming says so, and what to do


def no_study(path: Path, form: str, error: Exception) -> UserError:
    """What to say of a file that is not of the form that is described in `form`."""
    return UserError(f"{path} is no study ({type(error).__name__}: {' '.join(str(error).split())}); write {form}")
