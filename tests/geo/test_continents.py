"""Countries lie on continents."""

import pytest

from geo.continents import CONTINENTS, continents_of


@pytest.mark.parametrize(
    "country, continent",
    [
        ("DE", "Europe"),
        ("RU", "Europe"),
        ("TR", "Asia"),
        ("JP", "Asia"),
        ("NA", "Africa"),
        ("ZA", "Africa"),
        ("US", "North America"),
        ("MX", "North America"),
        ("BR", "South America"),
        ("AU", "Oceania"),
        ("XK", "Europe"),
        ("XX0", "Atlantis"),
        ("XX", "unknown"),
        ("XX12", "Atlantis"),
        ("QQ", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_country_lies_on_its_continent(country, continent):
    assert continents_of(["FR", country]) == ["Europe", continent]


def test_every_country_with_cities_lies_on_a_continent_that_maps_know():
    from geo.cities import load_cities

    assert set(continents_of(load_cities().country)) == set(CONTINENTS) - {"Atlantis"}
