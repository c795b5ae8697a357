"""Intervals, 95 %, of what is no mean over cities: cities are drawn again, or groups of them left out in turn."""

from collections.abc import Callable

import numpy as np

from trainers.common.intervals import LEVEL, RESAMPLING_SEED

RESAMPLES, GROUPS = 500, 20
"""Of the bootstrap, and of the jackknife."""
Interval = tuple[float, float]


def draw_counts(n: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return how often each of n cities is in each resample of n, (resamples, n) float64; always the same."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def percentiles(values: np.ndarray) -> Interval:
    """Return the interval of a statistic of which the values in all resamples are given; NaN are left out."""
    low, high = np.nanpercentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def bootstrap_median(values: np.ndarray) -> Interval:
    """Return the interval of the median of n values, one a city."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    return percentiles(np.median(values[drawn], axis=1))


def jackknife(statistic: Callable[[np.ndarray], float], n: int) -> Interval:
    """Return the interval of a smooth statistic of n cities, by leaving out groups of them in turn.

    The bootstrap would draw cities twice, and what compares cities with each other takes a twin for a neighbour.

    Args:
        statistic: Rows of cities, (m,) int64 -> its value.
        n: At least 4.

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, section 11.5, with equal groups.
    """
    from scipy.stats import t

    groups = min(GROUPS, n // 2)
    group = np.random.default_rng(RESAMPLING_SEED).permutation(n) % groups
    values = np.array([statistic(np.flatnonzero(group != left_out)) for left_out in range(groups)])
    spread = np.sqrt((groups - 1) * values.var())
    half = float(t.ppf((1 + LEVEL) / 2, groups - 1) * spread)
    whole = statistic(np.arange(n))
    return whole - half, whole + half
