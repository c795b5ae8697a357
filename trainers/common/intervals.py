"""Intervals, 95 %: of means over random seeds by Student's t, of means over examples, and of differences in pairs."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainers.common.tables import format_number

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
INTERVAL = ("seeds", "mean", "95 % from", "95 % to")
"""What is stated about several seeds: their number, mean and interval."""
RESAMPLES, RESAMPLING_SEED = 2_000, 0
"""Of every bootstrap."""
_NUMBERS_AT_ONCE = 10_000_000  # bounds the memory: resamples are drawn in batches


def mean_interval(values: Sequence[float]) -> dict[str, Any]:
    """Return number, mean and Student's 95 % interval of values; one value has no interval, none no mean."""
    from scipy.stats import t

    n = len(values)
    mean = statistics.fmean(values) if n else None
    if mean is None or n == 1:
        return dict(zip(INTERVAL, (n, mean, None, None), strict=True))
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return dict(zip(INTERVAL, (n, mean, mean - half, mean + half), strict=True))


def paired_interval(values: Mapping[Any, float], others: Mapping[Any, float]) -> dict[str, Any]:
    """Return number, mean and Student's 95 % interval of `values` minus `others`, over the seeds that both have."""
    return mean_interval([values[seed] - others[seed] for seed in values if seed in others])


def say_interval(stated: Mapping[str, Any]) -> str:
    """Return a mean over seeds in words."""
    n, *numbers = (stated[name] for name in INTERVAL)
    if n == 1:
        return f"{numbers[0]:.4g} (one seed)"
    return "{:.4g} (mean of {} seeds; 95 %: {:.4g} to {:.4g})".format(numbers[0], n, *numbers[1:])


def interval_cell(stated: Mapping[str, Any], form: str = "") -> str:
    """Return a mean over seeds as the cell of a table, its interval in brackets.

    Args:
        form: Of the numbers; by default as `format_number` does.
    """
    numbers = [stated[name] for name in INTERVAL[1:]]
    mean, *ends = [
        format(number, form) if form else format_number(number) for number in numbers if number is not None
    ] or ["-"]
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def interval_columns(name: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean, number of seeds and ends of an interval as columns of a table: `name`, `name_seeds`, `name_from`…"""
    n, *numbers = (stated[part] for part in INTERVAL)
    return {**dict(zip((name, f"{name}_from", f"{name}_to"), numbers, strict=True)), f"{name}_seeds": n}


def interval_of(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what `interval_columns` has made columns of."""
    columns = (f"{name}_seeds", name, f"{name}_from", f"{name}_to")
    return dict(zip(INTERVAL, (row[column] for column in columns), strict=True))


def say_difference(what: str, row: str, first: str, stated: Mapping[str, Any], form: str) -> str:
    """Return a mean difference between two models in words."""
    return f"{what}: {row} minus {first}, same seeds (n = {stated['seeds']}): {interval_cell(stated, form)}"


def seeds_note(numbers: Iterable[int]) -> str:
    """Return the line below a table of means over seeds, of which every row has so many."""
    if (most := max(numbers, default=0)) <= 1:
        return "one run of every model"
    return f"means over n seeds, {most} at most; in brackets Student's 95 % interval over seeds"


def interval_of_mean(
    values: "np.ndarray", weights: "np.ndarray | None" = None, groups: "np.ndarray | None" = None
) -> tuple[float, float] | None:
    """Return the 95 % interval of a weighted mean of n examples; None where fewer than two can differ.

    Of shares (bool values of independent examples) it is Wilson's, else the bootstrap's percentiles.

    Args:
        values: (n,), bool for a share. weights: (n,), by default equal.
        groups: (n,) equal values mark examples that are not independent, which are drawn together.
    """
    import numpy as np

    values = np.asarray(values)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    counted = weights > 0
    place, n = _places(counted, groups)
    if n < 2:
        return None
    values, weights = values[counted], weights[counted]
    if values.dtype == bool and n == len(values) and (weights == 1).all():
        return wilson(int(values.sum()), n)
    return _bootstrap(_sums(place, values, weights))


def interval_of_difference(
    one: "tuple[np.ndarray, np.ndarray]", other: "tuple[np.ndarray, np.ndarray]", groups: "np.ndarray | None" = None
) -> tuple[float, float] | None:
    """Return the bootstrap's 95 % interval of the mean of one less that of the other, of the same n examples.

    Args:
        one, other: Values and weights, (n,) each.
        groups: As in `interval_of_mean`.
    """
    import numpy as np

    place, n = _places(np.ones(len(one[0]), dtype=bool), groups)
    return None if n < 2 else _bootstrap(_sums(place, *one), _sums(place, *other))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(LEVEL, "wilson")
    return float(low), float(high)


def _places(counted: "np.ndarray", groups: "np.ndarray | None") -> "tuple[np.ndarray, int]":
    """Return the number of the group of every counted example, and how many groups there are."""
    import numpy as np

    names = np.flatnonzero(counted) if groups is None else np.asarray(groups)[counted]
    known, place = np.unique(names, return_inverse=True)
    return place, len(known)


def _sums(place: "np.ndarray", values: "np.ndarray", weights: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    return np.bincount(place, values * weights), np.bincount(place, weights)


def _bootstrap(one: "tuple[np.ndarray, ...]", other: "tuple[np.ndarray, ...]" = ()) -> tuple[float, float]:
    """Return the interval of the mean of one (less that of the other), given as sums and weights by group."""
    import numpy as np
    from scipy.stats import bootstrap

    def mean(*parts: Any, axis: int) -> Any:
        totals = [part.sum(axis=axis) for part in parts]
        ratios = [total / weight for total, weight in zip(totals[::2], totals[1::2], strict=True)]
        return ratios[0] - ratios[1] if other else ratios[0]

    found = bootstrap(
        (*one, *other),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _NUMBERS_AT_ONCE // len(one[0])),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(RESAMPLING_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
