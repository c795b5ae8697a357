"""Output folders of commands that train or compare several runs: ownership marker, lock, name."""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.common.files import write_json
from trainers.errors import UserError
from trainers.folders.locks import hold_lock
from trainers.folders.output_dir import free_place

_NAME_CHARACTERS = 50  # before the digest


@contextlib.contextmanager
def hold_folder(folder: Path, marker: str, content: Mapping[str, Any]) -> Iterator[Path]:
    """Lock and mark a folder below the prefix for a command: new, empty, or with the `marker` of its earlier start.

    Args:
        content: The marker's, a JSON file; an existing one stays as it is.

    Raises:
        UserError: The folder lies elsewhere, holds something else, or another process is writing it.
    """
    folder = free_place(environment.resolved_prefix(), folder)
    with hold_lock(folder):
        is_own = (folder / marker).is_file()
        if folder.exists() and not is_own and (folder.is_file() or any(folder.iterdir())):
            raise UserError(
                f"--output_dir {folder} is in use for something else (it has no {marker}); give another one"
            )
        folder.mkdir(exist_ok=True)
        if not is_own:
            write_json(folder / marker, content)
        yield folder


def folder_name(text: str) -> str:
    """Return the text as a folder's name; one that cannot be is changed, and gets a digest against collisions."""
    name = re.sub(r"[^\w.,=+-]+", "_", text, flags=re.ASCII).strip("._")[:_NAME_CHARACTERS]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
