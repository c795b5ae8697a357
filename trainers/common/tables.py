"""Format rows of values as text: in columns for the terminal, or as Markdown."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any


def format_table(rows: Sequence[Mapping[str, Any]], formats: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return one or more rows with the same columns, under their names; numbers to the right.

    Args:
        rows: Column -> value; None is left empty.
        formats: Column -> format of its numbers, e.g. `,.1f`; default: as `format_number` does.
    """
    columns = []
    for name in rows[0]:
        texts = [name, *("" if row[name] is None else _cell(row[name], formats.get(name)) for row in rows)]
        width = max(map(len, texts))
        numeric = all(isinstance(row[name], (int, float, type(None))) for row in rows)
        columns.append([text.rjust(width) if numeric else text.ljust(width) for text in texts])
    return "\n".join("  ".join(texts).rstrip() for texts in zip(*columns, strict=True))


def format_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return one or more rows of text with the same columns as a Markdown table."""
    lines = [[*rows[0]], ["---"] * len(rows[0]), *([*row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_number(value: Any) -> str:
    """Return a number as people write it: 12,345, 123, 1.23, 0.00123; other values as they are."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cell(value: Any, form: str | None) -> str:
    return format(value, form) if form else format_number(value)
