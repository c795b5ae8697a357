"""Rows of `distance`: written one by one as first scripts do it, and by this stack's builder, dataset folder included.

The same pairs must give the same texts. What is measured of the slow one is fewer rows, so the table compares rows.
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from geo.cities import Cities, load_cities
from geo.sphere import EARTH_RADIUS_KM
from tasks.bench.training import Work
from trainers import registry
from trainers.contract import StoredDataset
from trainers.folders import dataset_folder

ONE_BY_ONE = 3_000  # rows of the slow contender


def ours(options: Mapping[str, Any]) -> Work:
    """The builder behind `make dataset TASK=distance`: built, written, digested."""

    def work() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.perf_counter()
            found = _built(options["rows"], Path(folder))
            seconds = time.perf_counter() - start_s
            return {"seconds": seconds, "units": options["rows"], "check": [_digest(found.splits["train"])]}

    return work


def row_by_row(options: Mapping[str, Any]) -> Work:
    """A loop over pairs: two look-ups in a data frame, scikit-learn's haversine, a text, one row more in a list."""
    from sklearn.metrics.pairwise import haversine_distances

    with tempfile.TemporaryDirectory() as folder:
        built = _built(options["rows"], Path(folder))
        first: Any = built.splits["train"][:ONE_BY_ONE]
        pairs = list(zip(first["city_a"], first["city_b"], strict=True))
        cities = _frame(load_cities(built.path / "cities.csv", min_population=0))

    def work() -> dict[str, Any]:
        start_s = time.perf_counter()
        rows: dict[str, list[str]] = {"prompt": [], "answer": []}
        for first, second in pairs:
            a, b = cities.iloc[first], cities.iloc[second]
            places = np.radians([[a["lat_deg"], a["lon_deg"]], [b["lat_deg"], b["lon_deg"]]])
            dist_km = haversine_distances(places)[0, 1] * EARTH_RADIUS_KM
            rows["prompt"].append(f"dist(c_{first},c_{second})=")
            rows["answer"].append(str(round(dist_km)))
        found = datasets.Dataset.from_dict(rows)
        return {"seconds": time.perf_counter() - start_s, "units": len(pairs), "check": [_digest(found)]}

    return work


def _built(n_rows: int, folder: Path) -> StoredDataset:
    task = registry.load("distance")
    return dataset_folder.build_or_load(task, task.options(n_train=n_rows, n_val=100, n_test=0), folder)


def _frame(cities: Cities) -> Any:
    import pandas

    return pandas.DataFrame({"lat_deg": cities.lat_deg, "lon_deg": cities.lon_deg}, index=cities.city_id)


def _digest(rows: Any) -> int:
    first = rows[:ONE_BY_ONE]
    return zlib.crc32("\n".join([*first["prompt"], *first["answer"]]).encode())


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {"ours": ours, "row by row": row_by_row}
