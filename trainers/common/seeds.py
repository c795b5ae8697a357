"""Runs that differ only by their random seeds are one result: a mean and its interval, never a best seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

SEEDS = ("seed", "data_seed")
"""Settings that are chance only."""
INTERVAL = ("seeds", "mean", "95 % from", "95 % to")
"""What is stated about several seeds: their number, mean and interval."""


def without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make a difference."""
    return {name: value for name, value in settings.items() if name not in SEEDS}


def mean_interval(values: Sequence[float]) -> dict[str, Any]:
    """Return number, mean and Student's 95 % interval of one or more values; one value has no interval."""
    from scipy.stats import t

    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return dict(zip(INTERVAL, (n, mean, None, None), strict=True))
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return dict(zip(INTERVAL, (n, mean, mean - half, mean + half), strict=True))


def say_interval(stated: Mapping[str, Any]) -> str:
    """Return a mean over seeds in words."""
    n, *numbers = (stated[name] for name in INTERVAL)
    if n == 1:
        return f"{numbers[0]:.4g} (one seed)"
    return "{:.4g} (mean of {} seeds; 95 %: {:.4g} to {:.4g})".format(numbers[0], n, *numbers[1:])
