"""Aggregate scores of seeds and tasks: interquartile mean, probability of improvement, performance profile, intervals.

After R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021. A score is
of one seed in one task; the bootstrap draws seeds again within each task, so that the tasks stay what they are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import bootstrap, trim_mean

from trainers.common.intervals import LEVEL, RESAMPLES, RESAMPLING_SEED


def interquartile_mean(score_SK: np.ndarray) -> float:
    """Return the mean of the middle half of all scores of S seeds in K tasks."""
    return float(trim_mean(score_SK.ravel(), 0.25))


def interquartile_interval(score_SK: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of the interquartile mean; None of one seed."""
    found = _stratified(score_SK, lambda score_BN: trim_mean(score_BN, 0.25, axis=-1))
    return None if found is None else (float(found[0]), float(found[1]))


def probability_of_improvement(score_SK: np.ndarray, other_SK: np.ndarray) -> float:
    """Return the chance that a seed of one model scores above one of another, mean over tasks; a tie is a half."""
    return float(_improvement(score_SK.T, other_SK.T).mean())


def improvement_interval(score_SK: np.ndarray, other_SK: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of the probability of improvement; None unless both have several seeds."""
    if min(len(score_SK), len(other_SK)) < 2:
        return None
    n_tasks = score_SK.shape[1]

    def improvement(*samples: np.ndarray, axis: int) -> np.ndarray:
        chances = [_improvement(*pair) for pair in zip(samples[:n_tasks], samples[n_tasks:], strict=True)]
        return np.mean(np.broadcast_arrays(*chances), axis=0)

    return _percentiles((*score_SK.T, *other_SK.T), improvement)


def _improvement(score_BS: np.ndarray, other_BS: np.ndarray) -> np.ndarray:
    """Return the share of all pairs of two groups in which the score of the first is higher, (B,)."""
    difference_BSS = score_BS[..., :, None] - other_BS[..., None, :]
    return ((difference_BSS > 0) + (difference_BSS == 0) / 2).mean(axis=(-2, -1))


def performance_profile(score_SK: np.ndarray, threshold_T: np.ndarray) -> np.ndarray:
    """Return the share of scores above each threshold, (T,)."""
    return (score_SK.reshape(-1, 1) > threshold_T).mean(axis=0)


def profile_band(score_SK: np.ndarray, threshold_T: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lower and upper ends, (T,) each, of the 95 % interval at every threshold; None of one seed."""
    return _stratified(score_SK, lambda score_BN: (score_BN[..., None, :] > threshold_T[:, None]).mean(axis=-1).T)


def _stratified(
    score_SK: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return percentiles of a statistic over resamples: SciPy draws every sample, here a task's seeds, by itself."""
    if len(score_SK) < 2:
        return None
    return _percentiles(
        tuple(score_SK.T), lambda *samples, axis: statistic(np.concatenate(np.broadcast_arrays(*samples), axis=-1))
    )


def _percentiles(samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray]) -> tuple[Any, Any]:
    found = bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        batch=100,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(RESAMPLING_SEED),
    )
    return found.confidence_interval.low, found.confidence_interval.high
