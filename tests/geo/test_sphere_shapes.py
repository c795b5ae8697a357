"""Shapes on the sphere against pyproj's geodesics, non-negative least squares, linear programs and sampled points."""

import numpy as np
import pytest
from pyproj import Geod
from scipy.optimize import linprog, nnls

from geo.sphere import EARTH_RADIUS_KM
from geo.sphere_shapes import (
    LARGEST,
    angle_deg,
    bearing_deg,
    crosses,
    distance,
    encloses,
    has_hull,
    points,
    triangle_area,
)

GEOD = Geod(a=EARTH_RADIUS_KM * 1000, b=EARTH_RADIUS_KM * 1000)


def random_places(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.degrees(np.arcsin(rng.uniform(-1, 1, (n, k)))), rng.uniform(-180, 180, (n, k))


def corners_of(n: int, k: int, seed: int) -> list[np.ndarray]:
    return list(np.moveaxis(points(*random_places(n, k, seed)), 1, 0))


def test_distances_are_those_of_the_geodesics() -> None:
    lat, lon = random_places(10_000, 2, seed=0)
    _, _, expected_m = GEOD.inv(lon[:, 0], lat[:, 0], lon[:, 1], lat[:, 1])
    near_km = distance(*np.moveaxis(points(lat, lon), 1, 0))
    np.testing.assert_allclose(near_km, np.array(expected_m) / 1000, rtol=0, atol=1e-6)


def test_areas_are_those_of_the_geodesic_polygons() -> None:
    lat, lon = random_places(1_000, 3, seed=1)
    ours = triangle_area(*np.moveaxis(points(lat, lon), 1, 0))
    theirs = np.abs([GEOD.polygon_area_perimeter(*corners)[0] for corners in zip(lon, lat, strict=True)]) / 1e9
    # a triangle around a pole is the smaller side of its border to us, and may be the larger one to a polygon
    np.testing.assert_allclose(ours, np.minimum(theirs, 2 * LARGEST["triangle_area"] - theirs), rtol=1e-6, atol=1e-3)


def test_an_octant_is_an_eighth_of_the_sphere() -> None:
    a, b, c = np.eye(3)
    assert triangle_area(a, b, c) == pytest.approx(LARGEST["triangle_area"] / 4, rel=1e-5)
    assert angle_deg(a, b, c) == pytest.approx(90)


def test_angles_and_bearings_are_those_of_the_geodesics() -> None:
    lat, lon = random_places(10_000, 3, seed=2)
    a, vertex, c = np.moveaxis(points(lat, lon), 1, 0)
    to_a, _, _ = GEOD.inv(lon[:, 1], lat[:, 1], lon[:, 0], lat[:, 0])
    to_c, _, _ = GEOD.inv(lon[:, 1], lat[:, 1], lon[:, 2], lat[:, 2])
    turn = np.abs(np.array(to_a) - np.array(to_c)) % 360
    np.testing.assert_allclose(angle_deg(a, vertex, c), np.minimum(turn, 360 - turn), rtol=0, atol=1e-6)
    off = (bearing_deg(vertex, a) - np.array(to_a) + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, rtol=0, atol=1e-6)


def test_arcs_cross_where_both_have_a_point_on_one_line_from_the_centre() -> None:
    a, b, c, d = corners_of(10_000, 4, seed=3)
    # x a + y b = z c + d, solved for x, y, z: all above 0 where a point of one arc is a point of the other
    weights = np.linalg.solve(np.stack([a, b, -c], axis=-1), d[..., None])[..., 0]
    expected = (weights > 0).all(axis=1)
    assert 0.05 < expected.mean() < 0.5
    assert np.array_equal(crosses(a, b, c, d), expected)
    assert np.array_equal(crosses(c, d, b, a), expected)


@pytest.mark.parametrize("k", [3, 4])
def test_hulls_enclose_the_sums_of_positive_multiples_of_their_corners(k: int) -> None:
    places = points(*random_places(3_000, k + 1, seed=4))
    places = places[has_hull(places[:, 1:])]
    residual = np.array([nnls(corners.T, point)[1] for point, *rest in places for corners in [np.array(rest)]])
    expected = residual < 1e-9
    assert 0.05 < expected.mean() < 0.6
    assert np.array_equal(encloses(places[:, 1:], places[:, 0]), expected)


def test_corners_have_a_hull_where_a_plane_through_the_centre_has_them_all_on_one_side() -> None:
    corners = points(*random_places(500, 4, seed=5))
    feasible = [linprog(np.zeros(3), -of, -np.ones(4), bounds=(None, None)).status == 0 for of in corners]
    assert 0.5 < np.mean(feasible) < 0.99
    assert np.array_equal(has_hull(corners), feasible)
    assert has_hull(corners[:, :3]).all()
