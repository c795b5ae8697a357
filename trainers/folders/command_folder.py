"""Folders of commands that train or compare several runs: whose they are, who writes them, how they may be called."""

import hashlib
import re
from pathlib import Path

from trainers.common import environment
from trainers.errors import UserError
from trainers.folders.output_dir import inside

_NAME_CHARACTERS = 100


def own_folder(folder: Path, marker: str) -> Path:
    """A folder below the prefix in which a command may write: new, empty, or with the `marker` of its earlier start.

    Raises:
        UserError: it lies elsewhere, or holds something else.
    """
    folder = inside(environment.resolved_prefix(), folder)
    if folder.exists() and not (folder / marker).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"--output_dir {folder} is in use for something else (it has no {marker}); give another one")
    return folder


def folder_name(text: str) -> str:
    """The text as a folder's name; where it cannot be one, it is changed, and a digest keeps like names apart."""
    name = re.sub(r"[^\w.,=+-]+", "_", text, flags=re.ASCII).strip("._")[:_NAME_CHARACTERS]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
