"""Find the cities within a radius of each other, and count them.

Two metrics exist, and only one is a distance. "great_circle" is the distance along the surface; all tasks use
it. "flat" takes latitude and longitude in radians for plane coordinates: away from the equator its distances
from east to west are too long, and the date line is a wall. The first analysis of such a city table (August
2025: 5,075 cities, 18.72 neighbours within 200 km on average, at most 105, for Kofu) was made with it, so it
is here to compare with those figures.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geo import InputError
from geo.cities import Cities
from geo.sphere import EARTH_RADIUS_KM, chord_of_km, unit_vectors

Metric = Literal["great_circle", "flat"]

SHARES = (5, 10, 20, 50, 100)


def neighbour_counts(cities: Cities, radius_km: float, metric: Metric = "great_circle") -> NDArray[np.int64]:
    """Count the other cities within a radius of each city.

    Args:
        cities: n cities.
        radius_km: The radius in km, above 0; a city exactly this far away counts.
        metric: "great_circle", or "flat" for the method described at the top of this file.

    Returns:
        Counts in 0…n-1, shape (n,), int64. Cities at the same place are neighbours.

    Raises:
        InputError: The radius is not above 0, or the metric is unknown.
    """
    from scipy.spatial import KDTree

    _check_radius(radius_km)
    if metric == "great_circle":
        points, radius = unit_vectors(cities.lat_deg, cities.lon_deg), float(chord_of_km(radius_km))
    elif metric == "flat":
        points, radius = np.radians([cities.lat_deg, cities.lon_deg]).T, radius_km / EARTH_RADIUS_KM
    else:
        raise InputError(f"metric is {metric!r}; give one of: {', '.join(get_args(Metric))}")
    counts = KDTree(points).query_ball_point(points, radius, return_length=True)
    return np.asarray(counts, dtype=np.int64) - 1  # each city counts itself


def neighbour_lists(cities: Cities, radius_km: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the other cities within a great-circle radius of each city, as compressed sparse rows.

    Args:
        cities: n cities.
        radius_km: The radius in km, above 0; a city exactly this far away counts.

    Returns:
        `indptr`, shape (n + 1,), and `indices`, shape (ordered pairs,), both int64: the neighbours of the
        city in row i are the rows `indices[indptr[i]:indptr[i + 1]]`, ascending. Rows, not city ids.

    Raises:
        InputError: The radius is not above 0.
    """
    from scipy.spatial import KDTree

    _check_radius(radius_km)
    tree = KDTree(unit_vectors(cities.lat_deg, cities.lon_deg))
    pairs = tree.query_pairs(float(chord_of_km(radius_km)), output_type="ndarray")
    both_ways = np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)
    rows, indices = both_ways[np.lexsort((both_ways[:, 1], both_ways[:, 0]))].T
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(cities)))]).astype(np.int64)
    return indptr, np.ascontiguousarray(indices)


def neighbour_statistics(counts: NDArray[np.int64]) -> dict[str, float]:
    """Summarise the neighbour counts of n ≥ 1 cities, shape (n,).

    Returns:
        `n` (cities), `mean`, `median`, `min`, `max` and `std` (population) of the counts, and `share_ge_5`,
        `_10`, `_20`, `_50`, `_100`: the share of cities, 0…1, with at least that many neighbours.

    Raises:
        InputError: There are no counts.
    """
    if len(counts) == 0:
        raise InputError("got no neighbour counts; give those of at least one city")
    statistics = {"n": float(len(counts)), "mean": counts.mean(), "median": np.median(counts)}
    statistics |= {"min": counts.min(), "max": counts.max(), "std": counts.std()}
    statistics |= {f"share_ge_{least}": (counts >= least).mean() for least in SHARES}
    return {name: float(value) for name, value in statistics.items()}


def _check_radius(radius_km: float) -> None:
    if not radius_km > 0:
        raise InputError(f"radius_km is {radius_km}; give a radius in km above 0")
