"""Read the answers of `location`, and say what they mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geo.coordinate_tool import map_link
from geo.coordinates import decode, parse_xy
from tasks.geography.world import notes_on, stored_cities, with_begun


def places_deg(texts: Sequence[str]) -> np.ndarray:
    """Decode `x,y` texts to latitude and longitude, (n, 2) in degrees; NaN where the text is not exactly that."""
    return np.stack(decode(*parse_xy(texts).T), axis=1)


def explain(prompts: Sequence[str], answers: Sequence[str], dataset: Path) -> dict[str, list[Any]]:
    """Return the place of every answer, in degrees and as a link to a map, and which prompts name no city."""
    places = [(lat, lon) if lat == lat else None for lat, lon in places_deg(with_begun(prompts, answers)).tolist()]
    return {
        "lat_deg": [place and round(place[0], 5) for place in places],
        "lon_deg": [place and round(place[1], 5) for place in places],
        "map": [place and map_link(*place) for place in places],
        "note": notes_on(prompts, stored_cities(dataset)),
    }
