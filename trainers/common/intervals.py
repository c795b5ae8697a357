"""Intervals of a mean over examples, 95 %, by SciPy."""

from typing import Any

import numpy as np

LEVEL = 0.95
_RESAMPLES, _SEED = 2_000, 0
_NUMBERS_AT_ONCE = 10_000_000  # bounds the memory: resamples are drawn in batches


def interval_of_mean(
    values: np.ndarray, weights: np.ndarray | None = None, groups: np.ndarray | None = None
) -> tuple[float, float] | None:
    """Return the 95 % interval of a weighted mean of n examples; None where fewer than two can differ.

    Of shares (values 0 and 1 of independent examples) it is Wilson's, else the bootstrap's percentiles.

    Args:
        values: (n,). weights: (n,), by default equal.
        groups: (n,) equal values mark examples that are not independent, which are drawn together.
    """
    values = np.asarray(values, dtype=float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    counted = weights > 0
    place, n = _places(counted, groups)
    if n < 2:
        return None
    values, weights = values[counted], weights[counted]
    if n == len(values) and (weights == 1).all() and np.isin(values, (0, 1)).all():
        return wilson(int(values.sum()), n)
    return _bootstrap(_sums(place, values, weights))


def interval_of_difference(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], groups: np.ndarray | None = None
) -> tuple[float, float] | None:
    """Return the bootstrap's 95 % interval of the mean of one less that of the other, of the same n examples.

    Args:
        one, other: Values and weights, (n,) each.
        groups: As in `interval_of_mean`.
    """
    place, n = _places(np.ones(len(one[0]), dtype=bool), groups)
    return None if n < 2 else _bootstrap(_sums(place, *one), _sums(place, *other))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(LEVEL, "wilson")
    return float(low), float(high)


def _places(counted: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Return the number of the group of every counted example, and how many groups there are."""
    names = np.flatnonzero(counted) if groups is None else np.asarray(groups)[counted]
    known, place = np.unique(names, return_inverse=True)
    return place, len(known)


def _sums(place: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.bincount(place, values * weights), np.bincount(place, weights)


def _bootstrap(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...] = ()) -> tuple[float, float]:
    """Return the interval of the mean of one (less that of the other), given as sums and weights by group."""
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
        n_resamples=_RESAMPLES,
        batch=max(1, _NUMBERS_AT_ONCE // len(one[0])),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
