"""Invented cities: round clouds wherever they lie, against pyproj and scipy; the same ones always."""

import numpy as np
import pytest
from pyproj import Geod
from scipy import stats

from geo import InputError
from geo.atlantis import invent_cities, is_invented, join_cities, parse_regions
from geo.cities import Cities, load_cities
from tests.helpers import printed_elsewhere, refusal

SPHERE = Geod(a=6_371_000, b=6_371_000)
CENTRES = [(35.0, -35.0), (0.0, 0.0), (89.5, 10.0), (-89.99, -120.0), (0.0, 180.0), (-40.0, -179.9), (60.0, 179.99)]
POLES = [(90.0, 0.0), (90.0, 77.0), (-90.0, -30.0)]


def offsets_km(centre: tuple[float, float], cities: Cities) -> tuple[np.ndarray, np.ndarray]:
    """Distance in km and bearing in degrees from the centre, by pyproj."""
    n = len(cities)
    bearing_deg, _, dist_m = SPHERE.inv(np.full(n, centre[1]), np.full(n, centre[0]), cities.lon_deg, cities.lat_deg)
    return dist_m / 1000, bearing_deg


def real_cities(countries: list[str]) -> Cities:
    n = len(countries)
    rng = np.random.default_rng(3)
    names = tuple(f"City {i}" for i in range(n))
    lat_deg, lon_deg = rng.uniform(-80, 80, n), rng.uniform(-180, 180, n)
    return Cities(np.arange(n), names, lat_deg, lon_deg, tuple(countries), np.arange(n) * 1000)


# --- where they lie


@pytest.mark.parametrize("centre", CENTRES + POLES)
def test_the_distance_to_the_centre_is_rayleigh_distributed(centre):
    dist_km, _ = offsets_km(centre, invent_cities([centre], 4000, 500))
    assert stats.kstest(dist_km, stats.rayleigh(scale=500).cdf).pvalue > 1e-3
    assert np.sqrt(np.mean(dist_km**2) / 2) == pytest.approx(500, rel=0.03)  # the maximum-likelihood estimate


@pytest.mark.parametrize("centre", CENTRES + POLES)
def test_every_direction_is_equally_likely(centre):
    dist_km, bearing_deg = offsets_km(centre, invent_cities([centre], 4000, 500, seed=5))
    assert stats.kstest(bearing_deg, stats.uniform(-180, 360).cdf).pvalue > 1e-3
    assert stats.spearmanr(dist_km, np.abs(bearing_deg)).pvalue > 1e-3


@pytest.mark.parametrize("spread_km", [1.0, 500.0, 1500.0])
def test_offsets_to_the_east_and_to_the_north_are_gaussians_of_the_spread(spread_km):
    dist_km, bearing_deg = offsets_km((-20.0, 80.0), invent_cities([(-20, 80)], 4000, spread_km, seed=1))
    east_km, north_km = dist_km * np.sin(np.radians(bearing_deg)), dist_km * np.cos(np.radians(bearing_deg))
    for offset_km in (east_km, north_km):
        assert stats.kstest(offset_km, stats.norm(0, spread_km).cdf).pvalue > 1e-3
    assert stats.pearsonr(east_km, north_km).pvalue > 1e-3


@pytest.mark.parametrize("spread_km", [500.0, 20_015.0])
def test_coordinates_are_on_the_globe_with_five_decimals(spread_km):
    cities = invent_cities([*CENTRES, *POLES], 300, spread_km)
    assert np.abs(cities.lat_deg).max() <= 90 and np.abs(cities.lon_deg).max() <= 180
    for degrees in (cities.lat_deg, cities.lon_deg):
        assert [float(f"{value:.5f}") for value in degrees] == degrees.tolist()


def test_a_cloud_on_the_date_line_lies_on_both_sides_of_it():
    cities = invent_cities([(0, 180)], 1000, 500)
    assert 400 < np.sum(cities.lon_deg > 160) < 600 and np.sum(np.abs(cities.lon_deg) < 150) == 0


# --- which they are


def test_the_cities_are_the_same_in_another_process():
    code = (
        "from geo.atlantis import invent_cities;print(invent_cities([(35, -35), (-30, 80)], 50, 400, 5075, 7).digest())"
    )
    assert printed_elsewhere(code).strip() == invent_cities([(35, -35), (-30, 80)], 50, 400, 5075, 7).digest()


def test_a_regions_cities_do_not_depend_on_the_other_regions():
    alone, pair = invent_cities([(35, -35)], 20), invent_cities([(35, -35), (-30, 80)], 20)
    other = invent_cities([(0, 0), (-30, 80), (10, 10)], 20, first_id=900)
    np.testing.assert_array_equal(alone.lat_deg, pair.lat_deg[:20])
    np.testing.assert_array_equal(alone.lon_deg, pair.lon_deg[:20])
    np.testing.assert_array_equal(pair.lat_deg[20:], other.lat_deg[20:40])
    np.testing.assert_array_equal(pair.lon_deg[20:], other.lon_deg[20:40])


def test_two_regions_at_one_place_have_different_cities():
    twice = invent_cities([(35, -35), (35, -35)], 20)
    assert not set(twice.lat_deg[:20]) & set(twice.lat_deg[20:])


def test_the_seed_decides():
    assert len({invent_cities([(35, -35)], 20, seed=seed).digest() for seed in range(5)}) == 5


def test_ids_go_on_from_the_first_and_every_region_has_a_country():
    cities = invent_cities([(35, -35), (-30, 80), (0, -120)], 4, first_id=5075)
    assert cities.city_id.tolist() == list(range(5075, 5087)) and cities.city_id.dtype == np.int64
    assert cities.country == ("XX0",) * 4 + ("XX1",) * 4 + ("XX2",) * 4
    assert len(set(cities.name)) == 12 and set(cities.population.tolist()) == {-1}
    for region, (lat_deg, lon_deg) in enumerate([(35, -35), (-30, 80), (0, -120)]):
        rows = slice(4 * region, 4 * region + 4)
        assert np.abs(cities.lat_deg[rows] - lat_deg).max() < 30 and np.abs(cities.lon_deg[rows] - lon_deg).max() < 30


# --- together with real ones


def test_only_invented_cities_are_invented():
    real = real_cities(["DE", "XK", "NA", "", "X"])  # XK is Kosovo
    world = join_cities(real, invent_cities([(35, -35), (-30, 80)], 3, first_id=5))
    assert is_invented(world).tolist() == [False] * 5 + [True] * 6


def test_joined_has_first_the_one_then_the_other_in_every_field():
    real, invented = real_cities(["DE", "FR"]), invent_cities([(35, -35)], 2, first_id=2)
    world = join_cities(real, invented)
    assert world.city_id.tolist() == [0, 1, 2, 3] and world.name == real.name + invented.name
    assert world.lat_deg.tolist() == [*real.lat_deg, *invented.lat_deg]
    assert world.lon_deg.tolist() == [*real.lon_deg, *invented.lon_deg]
    assert world.country == ("DE", "FR", "XX0", "XX0") and world.population.tolist() == [0, 1000, -1, -1]


def test_a_joined_world_survives_its_csv(tmp_path):
    world = join_cities(real_cities(["DE"] * 5), invent_cities([(35, -35), (-30, 80)], 10, first_id=5))
    world.write_csv(tmp_path / "cities.csv")
    again = load_cities(tmp_path / "cities.csv", min_population=0)
    assert again.digest() == world.digest() and again.country == world.country
    assert is_invented(again).tolist() == is_invented(world).tolist()


# --- what people type


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("35,-35", [(35, -35)]),
        ("35,-35 -30,80", [(35, -35), (-30, 80)]),
        ("  1.5,2.25   -90,180  ", [(1.5, 2.25), (-90, 180)]),
        ("90,-180", [(90, -180)]),
    ],
)
def test_regions_are_read(text, regions):
    assert parse_regions(text) == regions


@pytest.mark.parametrize(
    "text", ["", " ", "35", "35,", ",", "35,-35,1", "a,b", "35, -35", "35;-35", "35,-35;30,80", "35,-35 30", "(35,-35)"]
)
def test_what_is_no_region_is_refused(text):
    bad = {"35, -35": "35,", "35,-35 30": "30"}.get(text, text)  # regions are separated by spaces
    with refusal(repr(bad), of=InputError):
        parse_regions(text)


@pytest.mark.parametrize("text", ["91,0", "-90.1,0", "0,180.5", "0,-181", "nan,0", "0,nan", "inf,0", "35,-35 0,360"])
def test_a_region_off_the_globe_is_refused(text):
    with refusal("region", "-90..90", of=InputError):
        parse_regions(text)


@pytest.mark.parametrize(
    "numbers",
    [
        {"n_cities": 0},
        {"n_cities": -1},
        {"spread_km": 0.0},
        {"spread_km": -500.0},
        {"spread_km": 20_016.0},
        {"spread_km": float("nan")},
        {"spread_km": float("inf")},
        {"seed": -1},
    ],
)
def test_numbers_out_of_range_are_refused(numbers):
    with refusal(f"{next(iter(numbers.values())):g}", of=InputError):
        invent_cities([(35, -35)], **numbers)


@pytest.mark.parametrize("regions", [[], [(95.0, 0.0)], [(0.0, 200.0)], [(float("nan"), 0.0)]])
def test_no_region_and_a_centre_off_the_globe_are_refused(regions):
    with pytest.raises(InputError):
        invent_cities(regions, 3)
