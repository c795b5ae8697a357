"""Draw pairs of cities, write them as rows, and score the trivial answer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from geo.cities import Cities
from geo.sphere import great_circle_km
from tasks.geography.permutation import draw_key, permuted
from trainers.errors import UserError

Pairs = tuple[np.ndarray, np.ndarray]
"""Two int64 arrays of shape (n,): rows of the table of cities, the first and the second of every pair."""

_AT_ONCE = 50_000  # pairs whose distances and texts are computed at a time


def n_pairs(n: Any) -> Any:
    """Return the number of unordered pairs of n different things; n is a number or an array."""
    return n * (n - 1) // 2


def draw_distinct(n_possible: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw different whole numbers in 0…n_possible-1, uniformly, in random order, (count,) int64; count ≤ n_possible.

    The first numbers do not depend on how many are asked for.
    """
    return permuted(np.arange(count), n_possible, draw_key(rng))


def pair_of(number: np.ndarray) -> Pairs:
    """Return the pair (low, high), low < high, of each number, counting (0,1), (0,2), (1,2), (0,3), ….

    Numbers are int64 below 2**50: up to there 1 + 8 * number is exact in float64, and its root is on the right side.
    """
    high = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    return number - n_pairs(high), high


def in_random_order(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Swap each pair with probability 1/2."""
    first, second = pairs
    turned = rng.random(len(first)) < 0.5
    return np.where(turned, second, first), np.where(turned, first, second)


def pairs_between(start: int, stop: int, n: int, seed: int) -> Pairs:
    """Return the pairs at the places start…stop-1 of a random order of all pairs of n things, each in random order.

    Any part of it can be had without the others, in another process too.
    """
    draw_rng, order_rng = np.random.default_rng(seed).spawn(2)
    order_rng.bit_generator.advance(start)  # pyright: ignore[reportAttributeAccessIssue]  # one number a pair
    number = permuted(np.arange(start, stop), n_pairs(n), draw_key(draw_rng))
    return in_random_order(pair_of(number), order_rng)


def draw_pairs(n: int, options: Any, what: str) -> dict[str, Pairs]:
    """Draw different pairs of n things for every split with any, each in random order.

    The evaluated pairs are drawn first, so that they do not depend on the number of training pairs.

    Args:
        n: Number of things.
        options: `n_train`, `n_val`, `n_test` and `dataset_seed`.
        what: What is drawn, for the message.

    Raises:
        UserError: More pairs are asked for than there are.
    """
    places = split_places(n, options, what)
    return {name: pairs_between(*place, n, options.dataset_seed) for name, place in places.items()}


def split_places(n: int, options: Any, what: str) -> dict[str, tuple[int, int]]:
    """Return, for every split with any, where its pairs begin and end in the order of all (see `draw_pairs`)."""
    sizes = split_sizes(options)
    check_enough(sum(sizes.values()), n_pairs(n), what)
    ends = dict(zip(sizes, np.cumsum(list(sizes.values())).tolist(), strict=True))
    return {name: (ends[name] - sizes[name], ends[name]) for name in reversed(sizes) if sizes[name]}


def split_sizes(options: Any) -> dict[str, int]:
    """Return the number of rows of each split, in the order in which they are drawn."""
    return {"test": options.n_test, "validation": options.n_val, "train": options.n_train}


def split_pairs(pairs: Pairs, sizes: Mapping[str, int]) -> dict[str, Pairs]:
    """Cut the pairs into consecutive pieces of these sizes, by name."""
    ends = np.cumsum(list(sizes.values()))[:-1]
    return dict(zip(sizes, zip(*(np.split(rows, ends) for rows in pairs), strict=True), strict=True))


def pair_rows(cities: Cities, pairs: Pairs, kind: str | np.ndarray | None = None) -> Dataset:
    """Return rows `dist(c_12,c_5075)=` with the answer `769`, the distance in whole km, and both ids as numbers.

    `kind`, one for all or one a row, becomes a column of this name.
    """
    kinds = None if kind is None else np.broadcast_to(kind, pairs[0].shape)
    cuts = [slice(at, at + _AT_ONCE) for at in range(0, max(1, len(pairs[0])), _AT_ONCE)]
    parts = [_table(cities, (pairs[0][cut], pairs[1][cut]), kinds if kinds is None else kinds[cut]) for cut in cuts]
    return Dataset(pa.concat_tables(parts))


def _table(cities: Cities, pairs: Pairs, kinds: np.ndarray | None) -> pa.Table:
    first, second = pairs
    dist_km = np.rint(great_circle_km(*cities.places(first), *cities.places(second))).astype(np.int32)
    city_a, city_b = (pa.array(cities.city_id[rows]) for rows in pairs)
    text_a, text_b = city_a.cast(pa.string()), city_b.cast(pa.string())
    prompt = pc.binary_join_element_wise("dist(c_", text_a, ",c_", text_b, ")=", "")  # pyright: ignore
    answer = pa.array(dist_km).cast(pa.string())
    columns = {"prompt": prompt, "answer": answer, "city_a": city_a, "city_b": city_b}
    if kinds is not None:
        columns["kind"] = pa.array(kinds.tolist(), pa.string())
    return pa.table(columns)


def median_baseline(train: Dataset, evaluated: Dataset) -> dict[str, float]:
    """Score the trivial answer, the median distance of the training pairs."""
    from tasks.geography.pair_metric import absolute_errors_km, summary  # not in the processes that make rows: 5 s

    answer_km = float(np.median(distances_km(train)))
    true_km = distances_km(evaluated)
    return summary(absolute_errors_km(np.full(len(true_km), answer_km), true_km), true_km)


def distances_km(rows: Dataset) -> np.ndarray:
    """Return the true distances of rows in km, float64, (n,)."""
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
    """Return the rows with these numbers, in this order, as a table of its own (`Dataset.select` keeps the old one)."""
    table: Any = rows.with_format("arrow")[:]
    return Dataset(table.take(pa.array(numbers)).combine_chunks())
