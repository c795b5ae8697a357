"""Set up the process before anything heavy: project root, `.env`, and no network unless asked for."""

import functools
import os
import resource
import sys
from pathlib import Path

from dotenv import load_dotenv

from trainers.errors import UserError

CODE = Path(__file__).resolve().parents[2]
"""The folder of the packages and of `configs/`: of the checkout, or Python's for installed packages."""
ROOT = CODE if (CODE / "pyproject.toml").is_file() else Path.cwd()
"""The project's folder, with `.env`, outputs and MLflow's store: the checkout, or where a command is typed."""

RUNS_VARIABLE = "WORLD_MODELS_RUNS_AT_ONCE"
"""Environment variable with the number of runs that share this machine's cores."""
_DIFF_CHARACTERS = 1_000_000

# Nothing here needs the network; a user who does sets these in the shell or in .env.
_DEFAULTS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a run prints its own, which opens the view of trainings
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a wrong address is found in seconds, not in four minutes
    "TOKENIZERS_PARALLELISM": "false",
    # OpenMP threads that wait by spinning make a step 20 times slower as soon as another process wants a core
    # (2,417 ms instead of 119), and those that sleep too soon are woken late. A step of 64/2 in bfloat16 on two cores,
    # quiet and with one of them busy: spin 1,000 57 and 88 ms, 3,000 46 and 119, 10,000 48 and 212, 30,000 47 and 393.
    "GOMP_SPINCOUNT": "3000",
    # PyTorch then asks for huge pages: on a processor with AMX a step of 128/6 at batch 512 takes 0.9 times as long.
    "THP_MEM_ALLOC_ENABLE": "1",
}


def set_up() -> None:
    """Read `.env` (the shell's own variables win), then set the defaults for what the shell leaves open.

    Raises:
        UserError: The command was installed from another copy of the project than the one it is typed in.
    """
    here = Path.cwd()
    if here != CODE and (here / "trainers" / "common" / "environment.py").is_file():
        raise UserError(
            f"this command is that of the project in {CODE}, but it was typed in {here}, which is another one; make an"
            " environment for this one with `make clean setup`, or type `make train` or `python -m trainers train`"
        )
    load_dotenv(ROOT / ".env", override=False)
    caches = {} if _has_writable_home() else _caches_below_prefix()
    for name, value in {**_DEFAULTS, **caches}.items():
        os.environ.setdefault(name, value)


def _has_writable_home() -> bool:
    """Return whether libraries can keep their caches where they do it by themselves."""
    home = os.path.expanduser("~")
    places = [home, *filter(os.path.exists, [f"{home}/.cache"])]
    return all(os.path.isdir(place) and os.access(place, os.W_OK) for place in places)


def _caches_below_prefix() -> dict[str, str]:
    """Return where matplotlib and Hugging Face's libraries keep caches and settings instead."""
    try:
        cache = resolved_prefix() / ".cache"
    except UserError:  # the command will say so, unless it needs no folder
        return {}
    names = {"XDG_CACHE_HOME": "", "HF_HOME": "huggingface", "MPLCONFIGDIR": "matplotlib"}
    return {name: str(cache / folder) for name, folder in names.items()}


def count_cores() -> int:
    """Return the number of cores that this process may use; not every system says so, and then it is all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores() -> int:
    """Return this process's share of its cores; a launcher's OMP_NUM_THREADS=1 would leave the others idle."""
    n_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) * int(os.environ.get(RUNS_VARIABLE, "1"))
    return max(1, count_cores() // n_processes)


def peak_memory_gb() -> float:
    """Return the most memory that this process has had resident so far, in GB."""
    unit_bytes = 1 if sys.platform == "darwin" else 1024  # `man getrusage`
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e9


def asks_for_fsdp() -> bool:
    """Return whether the launcher asks for FSDP, from a variable: accelerate's state has it only after a model."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def resolved_prefix() -> Path:
    """Return the folder below which everything generated lives, with symbolic links followed.

    It is `EXP_DIR_PREFIX`, a relative path counting from the project's root. Only the default, `outputs`, is created.

    Raises:
        UserError: The folder does not exist or is no folder.
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
    """Return tags for the commit the code is at, and whether the working tree differs from it; empty outside git."""
    commit = _git("rev-parse", "HEAD")
    return {"git.commit": commit, "git.dirty": str(bool(_git("status", "--porcelain")))} if commit else {}


def git_diff() -> str:
    """Return how the working tree differs from its commit, for `git apply`, below the list of files; empty if equal."""
    status = _git("status", "--porcelain")
    text = f"{status}\n\n{_git('diff', '--no-color', '--no-ext-diff', 'HEAD')}\n" if status else ""
    return text if len(text) <= _DIFF_CHARACTERS else f"{text[:_DIFF_CHARACTERS]}\n(cut off here)\n"


def _git(*args: str) -> str:
    """Return what git prints about the checkout; nothing outside one: an installed package may lie in another's."""
    import subprocess

    if CODE != ROOT:
        return ""
    try:
        done = subprocess.run(["git", "-C", str(CODE), *args], capture_output=True, check=True)
        return done.stdout.decode(errors="replace").rstrip("\n")
    except (OSError, subprocess.CalledProcessError):
        return ""


@functools.cache
def environment_text() -> str:
    """Return the installed packages, one `name==version` a line."""
    import importlib.metadata

    packages = {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}
    return "\n".join(sorted(packages, key=str.lower)) + "\n"
