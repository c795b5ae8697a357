"""Shapes in the plane against shapely."""

import numpy as np
import pytest
from shapely import LineString, MultiPoint, Point, Polygon

from geo.plane_shapes import (
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


def random_points(n: int, k: int, seed: int, size: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-size, size, (n, k, 2)).astype(float)


def test_points_are_whole_tenths_of_a_degree() -> None:
    assert points(np.array([48.8566]), np.array([-2.3522])).tolist() == [[-24.0, 489.0]]


def test_distances_and_areas() -> None:
    a, b, c = np.moveaxis(random_points(500, 3, 0), 1, 0)
    np.testing.assert_allclose(distance(a, b), [Point(x).distance(Point(y)) for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(triangle_area(a, b, c), [Polygon(of).area for of in zip(a, b, c, strict=True)])


def test_the_largest_triangle_is_half_of_the_map() -> None:
    a, b, c = points(np.array([-90, 90, 90]), np.array([-180, -180, 180]))
    assert triangle_area(a, b, c) == LARGEST["triangle_area"]
    assert distance(a, c) == LARGEST["distance"]


def test_angles_are_those_of_the_law_of_cosines() -> None:
    a, vertex, c = np.moveaxis(random_points(500, 3, 1), 1, 0)
    p, q, r = distance(vertex, a), distance(vertex, c), distance(a, c)
    np.testing.assert_allclose(
        angle_deg(a, vertex, c), np.degrees(np.arccos((p**2 + q**2 - r**2) / (2 * p * q))), atol=1e-4
    )


@pytest.mark.parametrize(("to", "expected"), [((0, 1), 0), ((1, 1), 45), ((1, 0), 90), ((0, -1), 180), ((-1, 0), 270)])
def test_bearings_are_clockwise_from_north(to: tuple[int, int], expected: float) -> None:
    assert bearing_deg(np.zeros(2), np.array(to, float)) == pytest.approx(expected)


def test_lines_cross_as_in_shapely() -> None:
    places = random_points(2_000, 4, 2)
    expected = [LineString(of[:2]).crosses(LineString(of[2:])) for of in places]
    assert 0.1 < np.mean(expected) < 0.5
    assert np.array_equal(crosses(*np.moveaxis(places, 1, 0)), expected)


@pytest.mark.parametrize("size", [1000, 3])
def test_hulls_cover_points_as_in_shapely(size: int) -> None:
    places = random_points(1_000, 5, 3, size)
    places = places[has_hull(places[:, 1:])]
    expected = [MultiPoint(rest).convex_hull.covers(Point(point)) for point, *rest in places]
    assert 0.05 < np.mean(expected) < 0.8
    assert np.array_equal(encloses(places[:, 1:], places[:, 0]), expected)


def test_corners_on_one_line_have_no_hull() -> None:
    line, triangle = np.array([[0.0, 0], [1, 1], [3, 3], [7, 7]]), np.array([[0.0, 0], [1, 1], [3, 3], [0, 7]])
    assert has_hull(np.stack([line, triangle])).tolist() == [False, True]
