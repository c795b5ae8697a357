"""What the tasks on pairs of cities share: drawing pairs, writing them as rows, and the trivial baseline."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo.cities import Cities
from geo.sphere import great_circle_km
from tasks.geography.pair_metric import absolute_errors_km, summary
from trainers.errors import UserError

Pairs = tuple[np.ndarray, np.ndarray]
"""Two int64 arrays of shape (n,): rows of the table of cities, the first and the second of every pair."""


def n_pairs(n: Any) -> Any:
    """How many unordered pairs of different things n things make; n is a number or an array."""
    return n * (n - 1) // 2


def draw_distinct(n_possible: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Different whole numbers in 0…n_possible-1, uniformly, in random order, (count,) int64; count ≤ n_possible.

    Memory and time grow with `count`, not with `n_possible`, and the first numbers do not depend on how many are asked
    for: numbers are drawn independently, and only the first occurrence of each counts.
    """
    drawn = np.zeros(0, dtype=np.int64)
    while len(drawn) < count:
        free, missing = n_possible - len(drawn), count - len(drawn)
        # A draw is new with probability free / n_possible, and ever less often; the last few take rounds of their own.
        draws = n_possible * np.log(free / (free - missing)) if missing < free else 2 * n_possible
        drawn = np.concatenate([drawn, rng.integers(n_possible, size=int(draws) + 64)])
        drawn = np.asarray(pd.unique(drawn))  # in the order of first occurrence
    return drawn[:count]


def pair_of(number: np.ndarray) -> Pairs:
    """The pair (low, high), low < high, with this number when pairs are counted (0,1), (0,2), (1,2), (0,3), ….

    Numbers are int64 below 2**50: up to there 1 + 8 * number is exact in float64, and its root is on the right side.
    """
    high = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    return number - n_pairs(high), high


def in_random_order(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Each pair as it is or turned round, with equal chances."""
    first, second = pairs
    turned = rng.random(len(first)) < 0.5
    return np.where(turned, second, first), np.where(turned, first, second)


def pair_rows(cities: Cities, pairs: Pairs, kind: str | None = None) -> Dataset:
    """Rows `dist(c_12,c_5075)=` with the answer `769`, the distance in whole km, and both ids as numbers.

    With `kind` a column of this name says of every row what it is.
    """
    first, second = pairs
    dist_km = np.rint(
        great_circle_km(cities.lat_deg[first], cities.lon_deg[first], cities.lat_deg[second], cities.lon_deg[second])
    ).astype(np.int32)
    city_a, city_b = (pa.array(cities.city_id[rows]) for rows in pairs)
    text_a, text_b = city_a.cast(pa.string()), city_b.cast(pa.string())
    prompt = pc.binary_join_element_wise("dist(c_", text_a, ",c_", text_b, ")=", "")  # pyright: ignore
    answer = pa.array(dist_km).cast(pa.string())
    columns = {"prompt": prompt, "answer": answer, "city_a": city_a, "city_b": city_b}
    return Dataset(pa.table(columns if kind is None else {**columns, "kind": pa.array([kind] * len(first))}))


def median_baseline(train: Dataset, evaluated: Dataset) -> dict[str, float]:
    """The trivial baseline: answer every prompt with the median distance of the training pairs."""
    answer_km = float(np.median(distances_km(train)))
    true_km = distances_km(evaluated)
    return summary(absolute_errors_km(np.full(len(true_km), answer_km), true_km), true_km)


def distances_km(rows: Dataset) -> np.ndarray:
    """The true distances of rows, float64, (n,)."""
    answers: Any = rows.with_format("arrow")[:]["answer"]
    try:
        return answers.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise UserError(f"an answer of the dataset is no distance in km ({error}); build the dataset again") from error


def check_enough(asked: int, available: int, what: str) -> None:
    """Raise a `UserError` if more pairs are asked for than there are."""
    if asked > available:
        raise UserError(
            f"{asked:,} {what} are asked for (--n_train, --n_val and --n_test together), but there are only"
            f" {available:,}; ask for fewer"
        )


def take_rows(rows: Dataset, numbers: np.ndarray) -> Dataset:
    """The rows with these numbers, in this order, as a table of its own (`Dataset.select` would keep the whole one)."""
    table: Any = rows.with_format("arrow")[:]
    return Dataset(table.take(pa.array(numbers)).combine_chunks())


def split_rows(rows: Dataset, sizes: Mapping[str, int]) -> dict[str, Dataset]:
    """The rows in consecutive pieces of these sizes, by name."""
    ends = np.cumsum(list(sizes.values())).tolist()
    pieces = zip(sizes.items(), ends, strict=True)
    return {name: rows.select(range(end - size, end) if size else range(0)) for (name, size), end in pieces}


def splits_of(pieces: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The pieces that have rows, train first."""
    return {name: pieces[name] for name in ("train", "validation", "test") if len(pieces[name])}
