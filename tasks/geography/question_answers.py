"""Read the answers to questions about cities, and say what they mean."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.geography.world import notes_on, stored_cities, with_begun

_MOST_DIGITS = 9
_CITIES = re.compile(r"c_(?:0|[1-9]\d{0,17})(?:,c_(?:0|[1-9]\d{0,17}))*", re.ASCII)


def parse_number(text: str) -> float:
    """Return the number in an answer such as `769`; NaN unless it is 1 to 9 digits without leading zeros."""
    is_number = len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit() and str(int(text)) == text
    return float(text) if is_number else np.nan


def parse_cities(text: str) -> list[int]:
    """Return the numbers of the cities in an answer such as `c_12,c_7`; empty unless it is only different cities."""
    ids = [int(number) for number in text.removeprefix("c_").split(",c_")] if _CITIES.fullmatch(text) else []
    return ids if len(set(ids)) == len(ids) else []


def explain_numbers(prompts: Sequence[str], answers: Sequence[str], dataset: Path) -> dict[str, list[Any]]:
    """Return the number of every answer, and which prompts name a city that there is not."""
    numbers = [parse_number(text) for text in with_begun(prompts, answers)]
    return {"number": [None if np.isnan(of) else int(of) for of in numbers], **explain(prompts, answers, dataset)}


def explain(prompts: Sequence[str], answers: Sequence[str], dataset: Path) -> dict[str, list[Any]]:
    """Return which prompts name a city that there is not."""
    return {"note": notes_on(prompts, stored_cities(dataset))}
