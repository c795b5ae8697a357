"""The functions of `sphere_shapes` in a plane, where x is the longitude and y the latitude, in tenths of a degree.

Only to reproduce results about such a world, in which the date line is a wall, and east and west are far apart near the
poles.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]

LEAST_DISTANCE = 0.5
"""Places less than this far apart share a cell of the grid, and count as one."""
LARGEST = {"distance": float(np.hypot(3600, 1800)), "triangle_area": 3600 * 1800 / 2}


def points(lat_deg: ArrayLike, lon_deg: ArrayLike) -> Points:
    """Return places as whole tenths of a degree, x and y, (…, 2)."""
    return np.rint(10.0 * np.stack([np.asarray(lon_deg), np.asarray(lat_deg)], axis=-1))


def distance(a: Points, b: Points) -> NDArray[np.float64]:
    """Return distances in tenths of a degree, (…)."""
    return np.linalg.norm(a - b, axis=-1)


def triangle_area(a: Points, b: Points, c: Points) -> NDArray[np.float64]:
    """Return areas of triangles in squares of a tenth of a degree, (…)."""
    return np.abs(_turn(a, b, c)) / 2


def angle_deg(a: Points, vertex: Points, c: Points) -> NDArray[np.float64]:
    """Return the angles at `vertex` between `a` and `c` in degrees, 0…180, (…)."""
    inner = np.einsum("...d,...d->...", a - vertex, c - vertex)
    return np.degrees(np.arctan2(np.abs(_turn(vertex, a, c)), inner))


def bearing_deg(a: Points, b: Points) -> NDArray[np.float64]:
    """Return the directions from `a` to `b`, clockwise from north, in 0…360, (…)."""
    x, y = np.moveaxis(b - a, -1, 0)
    return np.degrees(np.arctan2(x, y)) % 360.0


def crosses(a: Points, b: Points, c: Points, d: Points) -> NDArray[np.bool_]:
    """Return whether the line from `a` to `b` crosses that from `c` to `d`, in their insides, (…)."""
    return (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)


def encloses(corners: Points, point: Points) -> NDArray[np.bool_]:
    """Return whether points, (…, 2), lie in the convex hulls of three or more corners, (…, K, 2), on edges too, (…)."""
    return np.any([_in_triangle(a, b, c, point) for a, b, c in _triangles(corners)], axis=0)


def has_hull(corners: Points) -> NDArray[np.bool_]:
    """Return whether the corners, (…, K, 2), have a convex hull with an inside, (…): they are not all on one line."""
    return np.any([_turn(a, b, c) != 0 for a, b, c in _triangles(corners)], axis=0)


def _triangles(corners: Points) -> Iterator[tuple[Points, ...]]:
    """Give the corners of every triangle of them."""
    return combinations(np.moveaxis(corners, -2, 0), 3)


def _in_triangle(a: Points, b: Points, c: Points, point: Points) -> NDArray[np.bool_]:
    sides = np.stack([_turn(a, b, point), _turn(b, c, point), _turn(c, a, point)])
    return (np.all(sides >= 0, axis=0) | np.all(sides <= 0, axis=0)) & (_turn(a, b, c) != 0)


def _turn(a: Points, b: Points, c: Points) -> NDArray[np.float64]:
    """Return twice the area of triangles, above 0 where the way from `a` by `b` to `c` turns left, (…)."""
    return (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
