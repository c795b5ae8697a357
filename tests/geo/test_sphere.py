"""Distances on the sphere against scikit-learn and the WGS84 ellipsoid, and the places where formulas break."""

import numpy as np
import pytest
from pyproj import Geod
from sklearn.metrics.pairwise import haversine_distances

from geo import InputError
from geo.sphere import EARTH_RADIUS_KM, chord_of_km, great_circle_km, mean_centre, unit_vectors

HALF_CIRCUMFERENCE_KM = np.pi * EARTH_RADIUS_KM


def random_places(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)


def test_agrees_with_scikit_learn() -> None:
    lat1, lon1 = random_places(300, seed=0)
    lat2, lon2 = random_places(200, seed=1)
    ours = great_circle_km(lat1[:, None], lon1[:, None], lat2, lon2)
    places1, places2 = np.radians([lat1, lon1]).T, np.radians([lat2, lon2]).T
    theirs = haversine_distances(places1, places2) * EARTH_RADIUS_KM
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_is_within_six_per_mille_of_the_ellipsoid() -> None:
    lat1, lon1 = random_places(5000, seed=2)
    lat2, lon2 = random_places(5000, seed=3)
    sphere_km = great_circle_km(lat1, lon1, lat2, lon2)
    ellipsoid_km = Geod(ellps="WGS84").inv(lon1, lat1, lon2, lat2)[2] / 1000
    assert np.max(np.abs(sphere_km / ellipsoid_km - 1)) < 0.006


@pytest.mark.parametrize(
    ("place1", "place2", "expected_km"),
    [
        ((90, 0), (-90, 0), HALF_CIRCUMFERENCE_KM),
        ((90, -170), (90, 35), 0),
        ((0, 179.5), (0, -179.5), HALF_CIRCUMFERENCE_KM / 180),
        ((0, 180), (0, -180), 0),
        ((0, 0), (0, 180), HALF_CIRCUMFERENCE_KM),
        ((35.5, 20.25), (-35.5, -159.75), HALF_CIRCUMFERENCE_KM),
        ((0, 0), (90, 123), HALF_CIRCUMFERENCE_KM / 2),
        ((12.5, 7), (12.5, 7), 0),
    ],
    ids=["pole to pole", "one pole", "date line", "180 is -180", "antipodes", "slanted antipodes", "quarter", "same"],
)
def test_known_distances(place1: tuple, place2: tuple, expected_km: float) -> None:
    # Near antipodes the haversine is flat: half the digits of a double are left, which is 0.1 m.
    assert great_circle_km(*place1, *place2) == pytest.approx(expected_km, abs=1e-4)


def test_is_symmetric_and_accurate_for_metres() -> None:
    lat1, lon1 = random_places(1000, seed=4)
    lat2, lon2 = random_places(1000, seed=5)
    np.testing.assert_array_equal(great_circle_km(lat1, lon1, lat2, lon2), great_circle_km(lat2, lon2, lat1, lon1))
    one_metre_deg = np.degrees(0.001 / EARTH_RADIUS_KM)
    assert great_circle_km(50, 8, 50 + one_metre_deg, 8) == pytest.approx(0.001, rel=1e-6)


def test_all_antipodes_are_numbers() -> None:
    lat, lon = random_places(10_000, seed=6)
    distances_km = great_circle_km(lat, lon, -lat, lon - 180)
    np.testing.assert_allclose(distances_km, HALF_CIRCUMFERENCE_KM, atol=1e-3)


def test_nan_passes_through_where_it_is() -> None:
    distances_km = great_circle_km([0, np.nan, 0], 0, [1, 1, np.nan], 0)
    np.testing.assert_array_equal(np.isnan(distances_km), [False, True, True])


def test_unit_vectors_have_length_one_and_the_named_axes() -> None:
    vectors = unit_vectors(*random_places(100, seed=7))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    np.testing.assert_allclose(unit_vectors([0, 0, 90], [0, 90, 0]), np.eye(3), atol=1e-15)


def test_chords_are_the_distances_between_unit_vectors() -> None:
    places1, places2 = random_places(1000, seed=8), random_places(1000, seed=9)
    straight = np.linalg.norm(unit_vectors(*places1) - unit_vectors(*places2), axis=1)
    np.testing.assert_allclose(chord_of_km(great_circle_km(*places1, *places2)), straight, atol=1e-9)


def test_chords_stop_growing_at_the_antipode() -> None:
    np.testing.assert_allclose(chord_of_km([0, HALF_CIRCUMFERENCE_KM, 30_000, np.inf]), [0, 2, 2, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (([10, 20], [30, 30]), (15, 30)),
        (([5, 5], [170, -150]), (5.3191, -170)),  # atan(tan 5° / cos 20°)
        (([80, 80, 80], [0, 120, -120]), (90, None)),
        (([-12.5], [179]), (-12.5, 179)),
    ],
    ids=["meridian", "date line", "around the pole", "one place"],
)
def test_mean_centre(places: tuple, expected: tuple) -> None:
    lat_deg, lon_deg = mean_centre(*places)
    assert lat_deg == pytest.approx(expected[0], abs=1e-3)
    if expected[1] is not None:  # a pole has every longitude
        assert lon_deg == pytest.approx(expected[1], abs=1e-3)


@pytest.mark.parametrize("places", [([], []), ([40, -40], [10, -170]), ([1, np.nan], [2, 2])])
def test_mean_centre_refuses_places_without_one(places: tuple) -> None:
    with pytest.raises(InputError, match="no mean centre"):
        mean_centre(*places)
