"""What the geography tasks share: the options that choose a world."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from geo.cities import Cities, load_cities
from trainers.options import Range, option


@dataclass
class WorldOptions:
    """Which cities make up the world."""

    n_cities: int | None = option(None, "how many cities, the most populous first; default: 5075, or all of a CSV")
    min_population: int | None = option(None, "smallest population of a city; default: 100000 (0 for a plain CSV)")
    cities_csv: str | None = option(None, "a CSV of your own (latitude, longitude, …) instead of GeoNames")
    world_seed: int = option(42, "seed of the shuffle that numbers the cities")

    RANGES: ClassVar[Mapping[str, Range]] = {
        "n_cities": (1, None),
        "min_population": (0, None),
        "world_seed": (0, 2**63 - 1),
    }


def load_world(options: WorldOptions) -> Cities:
    """The cities that the options ask for.

    Raises:
        InputError: the CSV or the numbers cannot be used.
    """
    return load_cities(options.cities_csv, options.n_cities, options.min_population, options.world_seed)
