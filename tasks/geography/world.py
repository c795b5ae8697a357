"""What the geography tasks share: the options that choose a world."""

from dataclasses import dataclass

from geo.cities import Cities, load_cities
from trainers.options import MAX_SEED, option


@dataclass
class WorldOptions:
    """Which cities make up the world."""

    n_cities: int | None = option(
        None, "how many cities, the most populous first; default: 5075, or all of a CSV", least=1
    )
    min_population: int | None = option(
        None, "smallest population of a city; default: 100000 (0 for a plain CSV)", least=0
    )
    cities_csv: str | None = option(
        None, "a CSV of your own (latitude, longitude, …) instead of GeoNames", is_path=True
    )
    world_seed: int = option(42, "seed of the shuffle that numbers the cities", least=0, most=MAX_SEED)


def load_world(options: WorldOptions) -> Cities:
    """The cities that the options ask for.

    Raises:
        InputError: the CSV or the numbers cannot be used.
    """
    return load_cities(options.cities_csv, options.n_cities, options.min_population, options.world_seed)
