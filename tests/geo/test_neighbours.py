"""Neighbours against scikit-learn's ball tree, the known figures of the default world, of cities."""

import numpy as np
import pytest
from sklearn.neighbors import BallTree

from geo import InputError
from geo.cities import Cities, load_cities
from geo.neighbours import neighbour_counts, neighbour_lists, neighbour_statistics
from geo.sphere import EARTH_RADIUS_KM
from tests.helpers import refusal


@pytest.fixture(scope="module")
def world() -> Cities:
    return load_cities()


def small_world(lat_deg: list[float], lon_deg: list[float]) -> Cities:
    n = len(lat_deg)
    names = tuple(f"City {i}" for i in range(n))
    ids = np.arange(100, 100 + n)
    return Cities(ids, names, np.array(lat_deg, float), np.array(lon_deg, float), ("",) * n, np.full(n, -1))


def ball_tree_neighbours(cities: Cities, radius_km: float) -> list[np.ndarray]:
    places = np.radians([cities.lat_deg, cities.lon_deg]).T
    found = BallTree(places, metric="haversine").query_radius(places, radius_km / EARTH_RADIUS_KM)
    return [np.sort(rows[rows != i]) for i, rows in enumerate(found)]


@pytest.mark.parametrize("radius_km", [200.0, 3000.0])
def test_great_circle_neighbours_agree_with_the_ball_tree(radius_km: float) -> None:
    world = load_cities(n_cities=2000)
    expected = ball_tree_neighbours(world, radius_km)
    indptr, indices = neighbour_lists(world, radius_km)
    np.testing.assert_array_equal(np.diff(indptr), [len(rows) for rows in expected])
    np.testing.assert_array_equal(indices, np.concatenate(expected))
    np.testing.assert_array_equal(neighbour_counts(world, radius_km), np.diff(indptr))
    assert indptr.dtype == indices.dtype == np.int64


def test_great_circle_figures_of_the_default_world(world: Cities) -> None:
    counts = neighbour_counts(world, 200)
    statistics = neighbour_statistics(counts)
    assert statistics["n"] == 5075
    assert statistics["mean"] == pytest.approx(22.54, abs=0.005)
    assert (statistics["median"], statistics["min"], statistics["max"]) == (14, 0, 130)
    assert world.name[counts.argmax()] == "Kofu"


def test_flat_figures_of_the_default_world(world: Cities) -> None:
    counts = neighbour_counts(world, 200, metric="flat")
    statistics = neighbour_statistics(counts)
    assert statistics["mean"] == pytest.approx(20.71, abs=0.005)
    assert (statistics["median"], statistics["max"]) == (13, 118)
    assert statistics["share_ge_20"] == pytest.approx(0.356, abs=0.0005)
    assert statistics["share_ge_100"] == pytest.approx(0.0205, abs=0.00005)
    assert world.name[counts.argmax()] == "Kofu"


def test_the_metrics_differ_at_the_date_line_and_far_north() -> None:
    """Two pairs, 111 km apart each: the flat metric sees a wall between the first, and doubles the second."""
    cities = small_world([0, 0, 60, 60], [179.5, -179.5, 0, 2])
    assert neighbour_counts(cities, 112).tolist() == [1, 1, 1, 1]
    assert neighbour_counts(cities, 112, "flat").tolist() == [0, 0, 0, 0]
    assert neighbour_counts(cities, 223, "flat").tolist() == [0, 0, 1, 1]


def test_rows_are_neighbours_not_ids_and_a_city_is_not_its_own() -> None:
    cities = small_world([0, 10, 0, 0], [0, 50, 1, 0])
    indptr, indices = neighbour_lists(cities, 120)
    assert indptr.tolist() == [0, 2, 2, 4, 6]
    assert indices.tolist() == [2, 3, 0, 3, 0, 2]


def test_a_lonely_city_and_a_radius_around_the_world() -> None:
    indptr, indices = neighbour_lists(small_world([1], [1]), 200)
    assert (indptr.tolist(), indices.tolist()) == ([0, 0], [])
    everyone = small_world([90, -90, 0, 0], [0, 0, 0, 180])
    assert neighbour_counts(everyone, 25_000).tolist() == [3, 3, 3, 3]


def test_statistics_of_known_counts() -> None:
    statistics = neighbour_statistics(np.array([0, 5, 10, 100]))
    assert list(statistics) == [
        "n", "mean", "median", "min", "max", "std",
        "share_ge_5", "share_ge_10", "share_ge_20", "share_ge_50", "share_ge_100",
    ]  # fmt: skip
    assert list(statistics.values()) == pytest.approx(
        [4, 28.75, 7.5, 0, 100, 41.2879, 0.75, 0.5, 0.25, 0.25, 0.25], rel=1e-5
    )
    with pytest.raises(InputError, match="no neighbour counts"):
        neighbour_statistics(np.array([], dtype=np.int64))


@pytest.mark.parametrize("radius_km", [0, -1, np.nan])
def test_a_radius_must_be_positive(radius_km: float) -> None:
    cities = small_world([0, 1], [0, 1])
    with refusal("radius_km", radius_km, of=InputError):
        neighbour_counts(cities, radius_km)
    with refusal("radius_km", radius_km, of=InputError):
        neighbour_lists(cities, radius_km)


def test_an_unknown_metric_is_refused() -> None:
    with refusal("euclid", "great_circle", "flat", of=InputError):
        neighbour_counts(small_world([0], [0]), 200, "euclid")  # type: ignore[arg-type]
