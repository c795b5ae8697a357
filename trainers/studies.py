"""Several runs that belong together: a YAML file below configs/studies/, and runs that are trained once."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainers import environment
from trainers.errors import UserError

_RUN = environment.ROOT / "trainers" / "run.py"


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
