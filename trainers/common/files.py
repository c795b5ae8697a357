"""Write JSON, CSV and text files atomically: to a temporary file, then renamed. Read JSON files."""

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.errors import UserError


def read_json(
    path: Path,
    helps: str,
    needed: Mapping[str, Any] = {},
    known: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Args:
        helps: What to do if it cannot be read.
        needed, known: Name -> type of its value; those that are `known` may be missing.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(f"{path} cannot be read ({reason}); {helps}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is JSON without names; {helps}")
    for name, kind in {**known, **needed}.items():
        value, is_read = content.get(name), name in content or name in needed
        if is_read and (not isinstance(value, kind) or isinstance(value, bool)):
            expected = getattr(kind, "__name__", kind)
            raise UserError(f"{path} has {json.dumps(value)[:80]} as {name}, expected {expected}; {helps}")
    return content


def write_json(path: Path, content: Any) -> None:
    """Write JSON to a temporary file, then rename it, so that a reader never sees half a file."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one or more rows with the same columns, to a temporary file that is then renamed."""
    write_text(path, as_csv(rows))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one or more rows with the same columns as CSV."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary file, then rename it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def follow_umask(paths: Iterable[Path]) -> None:
    """Give files that a library made for their owner alone the mode of any other new file."""
    umask = os.umask(0o022)
    os.umask(umask)
    for path in paths:
        path.chmod(0o666 & ~umask)
