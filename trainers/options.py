"""The run's own options, the stack's training defaults, and the range of values each number may have."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from trainers.errors import UserError

Range = tuple[float | None, float | None]  # least and most, both allowed; None is no limit


def option(default: Any, help_text: str) -> Any:
    """A dataclass field with a help text (the form `HfArgumentParser` reads)."""
    return field(default=default, metadata={"help": help_text})


def check_ranges(options: Any, ranges: Mapping[str, Range]) -> None:
    """Raise a `UserError` if a number among the dataclass's fields is not finite or out of its range."""
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            raise UserError(f"--{item.name} is {value}; it must be a finite number")
        least, most = ranges.get(item.name, (None, None))
        if least is not None and value < least:
            raise UserError(f"--{item.name} is {value}; it must be {_least_text(least)}")
        if most is not None and value > most:
            raise UserError(f"--{item.name} is {value}; it must be at most {most:g}")


def _least_text(least: float) -> str:
    return "greater than 0" if 0 < least < 1 else f"at least {least:g}"
