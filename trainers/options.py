"""Options as dataclass fields: a help text, the range of a number, and whether a value is a path."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainers.errors import UserError

MAX_SEED = 2**63 - 1
"""The largest random seed."""

OWN_METADATA = ("range", "is_path")
"""The metadata of a field that is not for argparse."""


def option(
    default: Any,
    help_text: str,
    *,
    least: float | None = None,
    most: float | None = None,
    is_path: bool | Callable[[Path], Iterable[Path]] = False,
) -> Any:
    """Return a dataclass field that becomes a flag (in the form `HfArgumentParser` reads).

    Args:
        default: The value without the flag.
        help_text: One clause for `--help`.
        least, most: The range of a number, both ends allowed; None is no limit.
        is_path: Whether the value names a file or a folder, or several with commas between. A dataset's folder then
            depends on their content too: a changed file is another dataset. A function gives the files that are read
            with a file.
    """
    return field(default=default, metadata={"help": help_text, "range": (least, most), "is_path": is_path})


def check_ranges(options: Any, ranges: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Raise a `UserError` if a number among the dataclass's fields is not finite or out of its range.

    Args:
        options: An instance of an options class.
        ranges: Name -> (least, greatest value) of fields that are not made by `option`.
    """
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            raise UserError(f"--{item.name} is {value}; it must be a finite number")
        least, most = item.metadata.get("range") or ranges.get(item.name, (None, None))
        if least is not None and value < least:
            raise UserError(f"--{item.name} is {value}; it must be {_least_text(least)}")
        if most is not None and value > most:
            raise UserError(f"--{item.name} is {value}; it must be at most {most:g}")


def path_options(options: Any) -> dict[str, str]:
    """Return the paths in an instance of an options class, by the option's name."""
    values = {item.name: getattr(options, item.name) for item in dataclasses.fields(options) if is_path(item)}
    return {name: value for name, value in values.items() if value}


def is_path(item: "dataclasses.Field[Any]") -> bool:
    """Return whether an option's value names files or folders."""
    return bool(item.metadata.get("is_path"))


def _least_text(least: float) -> str:
    return "greater than 0" if 0 < least < 1 else f"at least {least:g}"
