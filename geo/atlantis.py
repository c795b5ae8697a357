"""Invent cities: Gaussian clouds around places in the oceans, numbered after the real cities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo import InputError
from geo.cities import Cities
from geo.sphere import EARTH_RADIUS_KM

INVENTED_COUNTRY = "XX"  # ISO 3166 keeps XA to XZ free; a region's number follows: XX0, XX1, …
_HALF_CIRCUMFERENCE_KM = np.pi * EARTH_RADIUS_KM


def parse_regions(text: str) -> list[tuple[float, float]]:
    """Parse the centres of regions, latitude and longitude in degrees, from a text such as `35,-35 -30,80`.

    Raises:
        InputError: A part is not two numbers, or lies off the globe.
    """
    return [_parse_centre(part) for part in text.split()] or [_parse_centre(text)]


def invent_cities(
    regions: Sequence[tuple[float, float]],
    n_cities: int = 100,
    spread_km: float = 500.0,
    first_id: int = 0,
    seed: int = 42,
) -> Cities:
    """Invent cities around the centres of regions.

    East and north offsets of a city are independent Gaussians with standard deviation `spread_km`, laid off along the
    great circle that leaves the centre in that direction, so that a cloud is round everywhere, also near the poles and
    across the date line.

    Args:
        regions: Latitude and longitude of every centre, in degrees.
        n_cities: Cities in each region, ≥ 1.
        spread_km: Standard deviation of the offsets along each axis, in km, above 0.
        first_id: Number of the first city; the others follow, region by region.
        seed: Seed, ≥ 0. A region's cities depend on it and on the region's place in the list only: the same in every
            process, whatever other regions there are.

    Returns:
        `len(regions) * n_cities` cities of unknown population; region i has the country `XX<i>`. Coordinates have five
        decimals, as in GeoNames.

    Raises:
        InputError: A number is out of its range.
    """
    if n_cities < 1 or not 0 < spread_km <= _HALF_CIRCUMFERENCE_KM or seed < 0:
        raise InputError(
            f"got {n_cities} invented cities, a spread of {spread_km:g} km and seed {seed}; give at least 1 city, a"
            f" spread above 0 and at most {_HALF_CIRCUMFERENCE_KM:,.0f} km, and a seed of at least 0"
        )
    if not regions:
        raise InputError("got no region; give the latitude and longitude of at least one centre")
    for centre in regions:
        _check_centre(*centre)
    places_deg = [
        _scatter(*centre, n_cities, spread_km, np.random.default_rng([seed, number]))
        for number, centre in enumerate(regions)
    ]
    lat_deg, lon_deg = np.concatenate(places_deg, axis=1).round(5)
    total = len(lat_deg)
    return Cities(
        first_id + np.arange(total, dtype=np.int64),
        tuple(f"Atlantis_{number + 1:03d}" for number in range(total)),
        lat_deg,
        lon_deg,
        tuple(f"{INVENTED_COUNTRY}{number // n_cities}" for number in range(total)),
        np.full(total, -1, dtype=np.int64),
    )


def is_invented(cities: Cities) -> NDArray[np.bool_]:
    """Return whether each city of a table is invented, bool, (n,)."""
    return np.array([is_invented_country(country) for country in cities.country], dtype=bool)


def is_invented_country(code: str) -> bool:
    """Return whether a country's code is an invented region's: XX0, XX1, … (XX alone is often an unknown country)."""
    return code.startswith(INVENTED_COUNTRY) and code.removeprefix(INVENTED_COUNTRY).isdecimal()


def join_cities(first: Cities, second: Cities) -> Cities:
    """Concatenate two tables."""
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    columns: list[Any] = [np.concatenate([a, b]) if isinstance(a, np.ndarray) else a + b for a, b in pairs]
    return Cities(*columns)


def _scatter(lat_deg: float, lon_deg: float, n: int, spread_km: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw latitudes and longitudes, (2, n) in degrees, at Gaussian offsets around a centre.

    Source: the direct problem on the sphere, J. P. Snyder, "Map Projections: A Working Manual", 1987, eq. 5-5, 5-6.
    """
    east_km, north_km = rng.normal(0.0, spread_km, (2, n))
    angle_rad = np.hypot(east_km, north_km) / EARTH_RADIUS_KM
    bearing_rad = np.arctan2(east_km, north_km)
    lat_rad = np.radians(lat_deg)
    northward, eastward = np.sin(angle_rad) * np.cos(bearing_rad), np.sin(angle_rad) * np.sin(bearing_rad)
    sin_lat = np.sin(lat_rad) * np.cos(angle_rad) + np.cos(lat_rad) * northward
    dlon_rad = np.arctan2(eastward, np.cos(lat_rad) * np.cos(angle_rad) - np.sin(lat_rad) * northward)
    lon = (lon_deg + np.degrees(dlon_rad) + 180.0) % 360.0 - 180.0
    return np.stack([np.degrees(np.arcsin(np.clip(sin_lat, -1.0, 1.0))), lon])


def _parse_centre(text: str) -> tuple[float, float]:
    try:
        lat_deg, lon_deg = (float(number) for number in text.split(","))
    except ValueError:
        raise InputError(
            f"the region {text!r} is not a latitude and a longitude; write 35,-35, or several as '35,-35 -30,80'"
        ) from None
    _check_centre(lat_deg, lon_deg)
    return lat_deg, lon_deg


def _check_centre(lat_deg: float, lon_deg: float) -> None:
    if not (abs(lat_deg) <= 90 and abs(lon_deg) <= 180):
        raise InputError(
            f"the region {lat_deg:g},{lon_deg:g} lies off the globe; give a latitude in -90..90 and a longitude in"
            " -180..180"
        )
