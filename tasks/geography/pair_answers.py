"""Read the answers of every task that asks for a distance, and say what they mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.geography.pair_metric import LONGEST_KM
from tasks.geography.question_answers import parse_number
from tasks.geography.world import notes_on, stored_cities, with_begun


def parse_km(text: str) -> float:
    """Return the distance in an answer such as `769`; NaN unless it is whole km in 0…20,015, without leading zeros."""
    number = parse_number(text)
    return number if number <= LONGEST_KM else np.nan


def explain(prompts: Sequence[str], answers: Sequence[str], dataset: Path) -> dict[str, list[Any]]:
    """Return the distance in km of every answer, and which prompts name a city that there is not."""
    distances_km = map(parse_km, with_begun(prompts, answers))
    notes = notes_on(prompts, stored_cities(dataset))
    return {"km": [None if np.isnan(km) else int(km) for km in distances_km], "note": notes}
