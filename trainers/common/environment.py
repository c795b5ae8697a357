"""The process's surroundings: project root, `.env`, and no network unless asked for. Imported before anything heavy."""

import os
from pathlib import Path

from dotenv import load_dotenv

from trainers.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

# Nothing here needs the network; a user who does sets these in the shell or in .env.
_DEFAULTS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a wrong address is found in seconds, not in four minutes
    "TOKENIZERS_PARALLELISM": "false",
    # OpenMP threads that wait by spinning make a step 20 times slower as soon as another process wants a core
    # (2,417 ms instead of 119); so short a spin costs 5 % on a quiet machine and bounds the loss to a quarter.
    "GOMP_SPINCOUNT": "1000",
}


def set_up() -> None:
    """Read `.env` (the shell's own variables win), then set the defaults for what the shell leaves open."""
    load_dotenv(ROOT / ".env", override=False)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def count_cores() -> int:
    """Return the number of cores that this process may use; not every system says so, and then it is all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def asks_for_fsdp() -> bool:
    """Whether the launcher asks for FSDP; accelerate tells so by a variable, and by its state only after a model."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def resolved_prefix() -> Path:
    """Return the folder below which everything generated lives, with symbolic links followed.

    It is `EXP_DIR_PREFIX`, a relative path counting from the project's root. Only the default, `outputs`, is created.

    Raises:
        UserError: the folder does not exist or is no folder.
    """
    given = os.environ.get("EXP_DIR_PREFIX", "").strip()
    path = Path(os.path.realpath(ROOT / os.path.expanduser(given or "outputs")))
    if given in ("", "outputs") and not path.exists():
        path.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        raise UserError(
            f"EXP_DIR_PREFIX is {given or 'outputs'!r}, which is no existing folder ({path}); create it or correct .env"
        )
    return path


def git_state() -> dict[str, str]:
    """Tags for the commit the code is at, and whether the working tree differs from it; empty outside git."""

    import subprocess

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain")))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def environment_text() -> str:
    """The installed packages, one `name==version` a line."""
    import importlib.metadata

    found = {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"
