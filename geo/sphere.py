"""Geometry on the sphere: great-circle distances, unit vectors, the centre of a set of places.

The Earth is a sphere of radius 6,371 km here; distances on the WGS84 ellipsoid differ by at most 0.6 %.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo import InputError

EARTH_RADIUS_KM = 6371.0


def great_circle_km(
    lat1_deg: ArrayLike, lon1_deg: ArrayLike, lat2_deg: ArrayLike, lon2_deg: ArrayLike
) -> NDArray[np.float64]:
    """Return the distance between places along the surface, by the haversine formula.

    Args:
        lat1_deg, lon1_deg: The first places, in degrees: numbers or arrays. Longitudes may be given modulo 360.
        lat2_deg, lon2_deg: The second places; the four arguments are broadcast against each other.

    Returns:
        Kilometres in 0…20,015.1, in the broadcast shape; NaN wherever an argument is NaN.

    Source: R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68(2), 1984, p. 159.
    """
    degrees = (np.asarray(values, dtype=np.float64) for values in (lat1_deg, lon1_deg, lat2_deg, lon2_deg))
    lat1, lon1, lat2, lon2 = map(np.radians, degrees)
    haversine = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    # Between antipodes rounding can give a value just above 1, which has no arcsine.
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0))))


def unit_vectors(lat_deg: ArrayLike, lon_deg: ArrayLike) -> NDArray[np.float64]:
    """Return places as points on the unit sphere: z towards the north pole, x towards 0° N 0° E.

    Args:
        lat_deg, lon_deg: The places in degrees, shape (n,).

    Returns:
        Vectors of length 1, shape (n, 3); for two numbers, shape (3,).
    """
    lat_rad, lon_rad = np.radians(lat_deg), np.radians(lon_deg)
    return np.stack([np.cos(lat_rad) * np.cos(lon_rad), np.cos(lat_rad) * np.sin(lon_rad), np.sin(lat_rad)], axis=-1)


def mean_centre(lat_deg: ArrayLike, lon_deg: ArrayLike) -> tuple[float, float]:
    """Return the centre of a set of places: the direction of the mean of their unit vectors.

    Unlike the mean of latitudes and longitudes, it is right at the date line and at the poles.

    Args:
        lat_deg, lon_deg: The places in degrees, shape (n,), n ≥ 1, no NaN.

    Returns:
        Latitude in -90…90 and longitude in -180…180, in degrees.

    Raises:
        InputError: There are no places, one is NaN, or they balance out, as two antipodes do.

    Source: K. V. Mardia, P. E. Jupp, "Directional Statistics", 2000, section 9.2 (mean direction).
    """
    vectors = np.atleast_2d(unit_vectors(lat_deg, lon_deg))
    mean = vectors.mean(axis=0) if len(vectors) else np.full(3, np.nan)
    if not np.linalg.norm(mean) > 1e-9:  # written so that NaN fails too
        raise InputError(
            f"the {len(vectors)} places have no mean centre; give at least one, none NaN, not spread evenly"
        )
    x, y, z = mean
    return float(np.degrees(np.arctan2(z, np.hypot(x, y)))), float(np.degrees(np.arctan2(y, x)))


def chord_of_km(dist_km: ArrayLike) -> NDArray[np.float64]:
    """Return the length of the straight line, through the unit sphere, between places `dist_km` apart on the surface.

    A k-d tree over `unit_vectors` finds the places within a radius in km by it, exactly.

    Args:
        dist_km: Great-circle distances in km, ≥ 0; more than half the circumference counts as that.

    Returns:
        Chord lengths in 0…2, in the shape of `dist_km`.
    """
    half_angle_rad = np.asarray(dist_km, dtype=np.float64) / (2 * EARTH_RADIUS_KM)
    return np.asarray(2 * np.sin(np.minimum(half_angle_rad, np.pi / 2)))
