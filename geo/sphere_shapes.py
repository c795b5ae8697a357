"""Shapes whose corners are places on the sphere: angles, bearings, triangles, crossing arcs, convex hulls.

All functions take points from `points`, arrays of shape (…, 3), and are vectorised over the leading axes. The plane has
the same functions in `plane_shapes`.
"""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo.sphere import EARTH_RADIUS_KM, unit_vectors

Points = NDArray[np.float64]

LEAST_DISTANCE = 1.0
"""Places less than this many km apart count as one."""
LARGEST = {"distance": 20_015.1, "triangle_area": 255_032.2}
"""The greatest values there are: half the circumference in km, half the surface in thousand km²."""


def points(lat_deg: ArrayLike, lon_deg: ArrayLike) -> Points:
    """Return places as unit vectors, (…, 3)."""
    return unit_vectors(lat_deg, lon_deg)


def distance(a: Points, b: Points) -> NDArray[np.float64]:
    """Return great-circle distances in km, 0…20,015.1, (…)."""
    return EARTH_RADIUS_KM * np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), _dot(a, b))


def triangle_area(a: Points, b: Points, c: Points) -> NDArray[np.float64]:
    """Return the areas of spherical triangles, of shorter arcs, in thousand km², 0…255,032, (…).

    Source: A. van Oosterom, J. Strackee, "The solid angle of a plane triangle", IEEE Trans. Biomed. Eng. 30(2), 1983.
    """
    excess_rad = 2 * np.arctan2(np.abs(_determinant(a, b, c)), 1 + _dot(a, b) + _dot(b, c) + _dot(c, a))
    return excess_rad * EARTH_RADIUS_KM**2 / 1000


def angle_deg(a: Points, vertex: Points, c: Points) -> NDArray[np.float64]:
    """Return the angles between the great circles from `vertex` to `a` and to `c`, in degrees, 0…180, (…)."""
    to_a, to_c = np.cross(vertex, a), np.cross(vertex, c)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(to_a, to_c), axis=-1), _dot(to_a, to_c)))


def bearing_deg(a: Points, b: Points) -> NDArray[np.float64]:
    """Return the direction in which the shortest way from `a` to `b` begins, clockwise from north, in 0…360, (…)."""
    east = np.stack([-a[..., 1], a[..., 0], np.zeros(a.shape[:-1])], axis=-1)
    return np.degrees(np.arctan2(_dot(east, b), _dot(np.cross(a, east), b))) % 360.0


def crosses(a: Points, b: Points, c: Points, d: Points) -> NDArray[np.bool_]:
    """Return whether the shorter arc from `a` to `b` crosses that from `c` to `d`, in their insides, (…)."""
    ab, cd = np.cross(a, b), np.cross(c, d)
    sides = np.sign(np.stack([_dot(cd, a), -_dot(cd, b), -_dot(ab, c), _dot(ab, d)]))
    return np.abs(sides.sum(axis=0)) == len(sides)


def encloses(corners: Points, point: Points) -> NDArray[np.bool_]:
    """Return whether points lie in the convex hulls of three or more corners in a hemisphere, (…).

    Args:
        corners: (…, K, 3), see `has_hull`.
        point: (…, 3).

    A point in the hull lies in a triangle of corners (Carathéodory).
    """
    triangles = combinations(np.moveaxis(corners, -2, 0), 3)
    return np.any([_in_triangle(a, b, c, point) for a, b, c in triangles], axis=0)


def has_hull(corners: Points) -> NDArray[np.bool_]:
    """Return whether three or more corners, (…, K, 3), lie in an open hemisphere, so that they have a convex hull, (…).

    They do not where the centre of the sphere lies in a tetrahedron of corners.
    """
    whole = [_in_triangle(a, b, c, -d) for a, b, c, d in combinations(np.moveaxis(corners, -2, 0), 4)]
    return ~np.any([np.zeros(corners.shape[:-2], bool), *whole], axis=0)


def _in_triangle(a: Points, b: Points, c: Points, point: Points) -> NDArray[np.bool_]:
    """Return whether a point is a sum of positive multiples of the three corners, (…)."""
    sides = [_determinant(a, b, c), _determinant(point, b, c), _determinant(a, point, c), _determinant(a, b, point)]
    return np.abs(np.sign(np.stack(sides)).sum(axis=0)) == len(sides)


def _determinant(a: Points, b: Points, c: Points) -> NDArray[np.float64]:
    return _dot(a, np.cross(b, c))


def _dot(a: Points, b: Points) -> NDArray[np.float64]:
    return np.einsum("...d,...d->...", a, b)
