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
    values, weights = values[counted], weights[counted]
    _, place = np.unique(np.arange(len(values)) if groups is None else np.asarray(groups)[counted], return_inverse=True)
    n = int(place.max(initial=-1)) + 1
    if n < 2:
        return None
    is_share = n == len(values) and (weights == 1).all() and np.isin(values, (0, 1)).all()
    if is_share:
        return wilson(int(values.sum()), n)
    return _bootstrap(np.bincount(place, values * weights), np.bincount(place, weights))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(LEVEL, "wilson")
    return float(low), float(high)


def _bootstrap(sum_n: np.ndarray, weight_n: np.ndarray) -> tuple[float, float]:
    """Return the interval of sum(sum_n) / sum(weight_n) over resampled entries."""
    from scipy.stats import bootstrap

    def ratio(sums: Any, weights: Any, axis: int) -> Any:
        return sums.sum(axis=axis) / weights.sum(axis=axis)

    batch = max(1, _NUMBERS_AT_ONCE // len(sum_n))
    found = bootstrap(
        (sum_n, weight_n),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=batch,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
