"""Rows of values as text in columns, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One or more rows with the same columns, under their names; numbers to the right."""
    columns = []
    for name in rows[0]:
        texts = [name, *("" if row[name] is None else format_number(row[name]) for row in rows)]
        width = max(map(len, texts))
        numeric = all(isinstance(row[name], (int, float, type(None))) for row in rows)
        columns.append([text.rjust(width) if numeric else text.ljust(width) for text in texts])
    return "\n".join("  ".join(texts).rstrip() for texts in zip(*columns, strict=True))


def format_number(value: Any) -> str:
    """A number as people write it: 12,345, 123, 1.23, 0.00123; other values as they are."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
