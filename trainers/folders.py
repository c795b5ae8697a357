"""Folders of commands that train or compare several runs: whose they are, who writes them, how they may be called."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout

from trainers import environment, guards
from trainers.errors import UserError

_NAME_CHARACTERS = 100


def own_folder(folder: Path, marker: str) -> Path:
    """A folder below the prefix in which a command may write: new, empty, or with the `marker` of its earlier start.

    Raises:
        UserError: it lies elsewhere, or holds something else.
    """
    folder = guards.inside(environment.resolved_prefix(), folder)
    if folder.exists() and not (folder / marker).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"--output_dir {folder} is in use for something else (it has no {marker}); give another one")
    return folder


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing a folder, as a run does.

    Raises:
        UserError: another process is writing it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = guards.lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is writing {folder}; wait for it, or give another folder") from None
    try:
        yield
    finally:
        lock.release()


def folder_name(text: str) -> str:
    """The text as a folder's name; where it cannot be one, it is changed, and a digest keeps like names apart."""
    name = re.sub(r"[^\w.,=+-]+", "_", text, flags=re.ASCII).strip("._")[:_NAME_CHARACTERS]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
