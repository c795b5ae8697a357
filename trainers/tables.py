"""Rows of values as text in columns, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainers.callbacks import plain


def aligned(rows: Sequence[Mapping[str, Any]]) -> str:
    """One or more rows with the same columns, under their names; numbers to the right."""
    columns = []
    for name in rows[0]:
        texts = [name, *("" if row[name] is None else plain(row[name]) for row in rows)]
        width = max(map(len, texts))
        numeric = all(isinstance(row[name], (int, float, type(None))) for row in rows)
        columns.append([text.rjust(width) if numeric else text.ljust(width) for text in texts])
    return "\n".join("  ".join(texts).rstrip() for texts in zip(*columns, strict=True))
