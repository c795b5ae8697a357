"""Cost as work grows: time and memory per row of the `distance` builder, for more rows and for more cities."""

import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tasks.bench.training import Work
from trainers import registry


def build(options: Mapping[str, Any], n_rows: int, n_cities: int) -> Work:
    """The rows in memory; `seconds` is CPU time, as most of the work is one thread's."""
    task = registry.load("distance")
    build_dataset = task.load("build_dataset")
    wanted = task.options(n_cities=n_cities, min_population=15_000, n_train=n_rows, n_val=100, n_test=0)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work() -> dict[str, Any]:
        start_s = time.process_time()
        built = build_dataset(wanted)
        seconds = time.process_time() - start_s
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        rows = len(built.splits["train"])
        return {"seconds": seconds, "units": rows, "notes": {"peak_bytes_per_row": 1024 * peak_kb / rows}}

    return work


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {
    "1 M rows, 5,075 cities": partial(build, n_rows=1_000_000, n_cities=5_075),
    "0.1 M rows, 5,075 cities": partial(build, n_rows=100_000, n_cities=5_075),
    "10 M rows, 5,075 cities": partial(build, n_rows=10_000_000, n_cities=5_075),
    "1 M rows, 30,000 cities": partial(build, n_rows=1_000_000, n_cities=30_000),
    "0.4 M rows, 1,000 cities": partial(build, n_rows=400_000, n_cities=1_000),
}
