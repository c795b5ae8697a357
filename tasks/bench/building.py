"""Build rows of `distance`: one by one as first scripts do, and by this stack's builder, dataset folder included.

The same pairs must give the same texts. The slow one writes fewer rows, so the table compares time per row.
"""

import os
import resource
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from geo.cities import load_cities
from geo.sphere import EARTH_RADIUS_KM
from tasks.bench.contender import Work, timed
from trainers import registry
from trainers.common.environment import resolved_prefix
from trainers.contract import StoredDataset
from trainers.folders import dataset_folder

ONE_BY_ONE = 3_000  # rows of the slow contender


def ours(rows: int) -> Work:
    """The builder behind `make dataset TASK=distance`: built, written, digested."""

    def work() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return timed(lambda: distance_dataset(rows, Path(folder)), rows, lambda data: _texts(data.splits["train"]))

    return work


def row_by_row(rows: int) -> Work:
    """A loop over pairs: two look-ups in a data frame, scikit-learn's haversine, a text, one row more in a list."""
    import pandas
    from sklearn.metrics.pairwise import haversine_distances

    with tempfile.TemporaryDirectory() as folder:
        data = distance_dataset(rows, Path(folder))
        first: Any = data.splits["train"][:ONE_BY_ONE]
        table = load_cities(data.path / "cities.csv", min_population=0)
    cities = pandas.DataFrame({"lat_deg": table.lat_deg, "lon_deg": table.lon_deg}, index=table.city_id)
    pairs = list(zip(first["city_a"], first["city_b"], strict=True))

    def written() -> datasets.Dataset:
        texts: dict[str, list[str]] = {"prompt": [], "answer": []}
        for first, second in pairs:
            a, b = cities.iloc[first], cities.iloc[second]
            places = np.radians([[a["lat_deg"], a["lon_deg"]], [b["lat_deg"], b["lon_deg"]]])
            dist_km = haversine_distances(places)[0, 1] * EARTH_RADIUS_KM
            texts["prompt"].append(f"dist(c_{first},c_{second})=")
            texts["answer"].append(str(round(dist_km)))
        return datasets.Dataset.from_dict(texts)

    return lambda: timed(written, len(pairs), _texts)


def growing(rows: int, cities: int, num_proc: int = 1) -> Work:
    """A complete dataset, for its cost as it grows: CPU time of all processes, memory above the imports.

    The real seconds are noted too: they say what several processes gain, on a machine that does nothing else.
    """
    task = registry.load("distance")
    options = task.options(n_cities=cities, min_population=15_000, n_train=rows, n_val=100, n_test=0)
    task.load("metric")  # imports
    imports_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work() -> dict[str, Any]:
        start_s = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=resolved_prefix()) as folder:
            build = partial(dataset_folder.build_or_load, task, options, Path(folder), num_proc=num_proc)
            turn = timed(build, rows, now_s=_cpu_s)
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imports_kb
        return {**turn, "notes": {"real_s": time.perf_counter() - start_s, "MB_above_imports": peak_kb / 1024}}

    return work


def _cpu_s() -> float:
    """Seconds that this process and those it has waited for have computed."""
    return sum(os.times()[:4])


def distance_dataset(rows: int, prefix: Path) -> StoredDataset:
    """Build the dataset of `distance` with this many training rows below a folder, or load it from there."""
    task = registry.load("distance")
    return dataset_folder.build_or_load(task, task.options(n_train=rows, n_val=100, n_test=0), prefix)


def _texts(rows: Any) -> bytes:
    first = rows[:ONE_BY_ONE]
    return "\n".join([*first["prompt"], *first["answer"]]).encode()
