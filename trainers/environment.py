"""The process's surroundings: project root, `.env`, and no network unless asked for. Imported before anything heavy."""

import os
from pathlib import Path

from dotenv import load_dotenv

from trainers.errors import UserError

ROOT = Path(__file__).resolve().parent.parent

# Nothing here needs the network; a user who does sets these in the shell or in .env.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
}


def set_up() -> None:
    """Read `.env` (the shell's own variables win), then switch off telemetry and downloads by default."""
    load_dotenv(ROOT / ".env", override=False)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def resolved_prefix() -> Path:
    """Return the folder below which everything generated lives, with symbolic links followed.

    It is `EXP_DIR_PREFIX`, a relative path counting from the project's root. Only the default, `outputs`, is created.

    Raises:
        UserError: the folder does not exist or is no folder.
    """
    given = os.environ.get("EXP_DIR_PREFIX", "").strip()
    path = (ROOT / Path(given or "outputs").expanduser()).resolve()
    if not given or given == "outputs":
        path.mkdir(exist_ok=True)
    if not path.is_dir():
        raise UserError(f"EXP_DIR_PREFIX is {given!r}, which is no existing folder ({path}); create it or correct .env")
    return path
