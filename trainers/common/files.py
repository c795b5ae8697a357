"""Write JSON, CSV and text files atomically: to a temporary file, then renamed."""

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


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
