"""Interquartile mean, performance profile and their intervals, against the numbers of `rliable`.

rliable 1.2.0 cannot be imported beside pandas 3 (the package `arch`, which it needs, cannot); its numbers below are
from an environment with pandas 2. Its intervals are of 200,000 (profiles: 20,000) resamples of its own generator.
"""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import mannwhitneyu

from tasks.in_context_rl.aggregate import (
    improvement_interval,
    interquartile_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    profile_band,
)
from tasks.in_context_rl.figures import draw_profile

FIVE = np.array(
    [
        [0.1, 0.9, 0.35, 0.62],
        [0.22, 0.81, 0.4, 0.55],
        [0.05, 0.97, 0.31, 0.7],
        [0.4, 0.6, 0.5, 0.52],
        [0.15, 0.88, 0.2, 0.91],
    ]
)
THREE = np.array([[0.3, 0.4], [0.7, 0.45], [0.31, 0.9]])
THRESHOLDS = np.linspace(0, 1, 5)
RLIABLE = [
    (FIVE, 0.495, (0.437, 0.567), [1, 0.75, 0.5, 0.25, 0], [1, 0.65, 0.5, 0.15, 0], [1, 0.85, 0.5, 0.35, 0]),
    (THREE, 0.465, (0.3525, 0.7025), [1, 1, 1 / 3, 1 / 6, 0], [1, 1, 0, 0, 0], [1, 1, 2 / 3, 1 / 2, 0]),
]


@pytest.mark.parametrize("score_SK, mean, interval, profile, low, high", RLIABLE)
def test_the_aggregates_are_those_of_rliable(score_SK, mean, interval, profile, low, high):
    assert interquartile_mean(score_SK) == pytest.approx(mean, abs=1e-9)
    assert performance_profile(score_SK, THRESHOLDS) == pytest.approx(profile, abs=1e-9)
    assert interquartile_interval(score_SK) == pytest.approx(interval, abs=0.005)  # 2,000 resamples
    found = profile_band(score_SK, THRESHOLDS)
    assert found is not None
    assert found[0] == pytest.approx(low, abs=1e-9) and found[1] == pytest.approx(high, abs=1e-9)


def test_the_interquartile_mean_is_that_of_the_middle_half_in_any_order():
    scores = np.arange(16.0)
    shuffled = np.random.default_rng(0).permutation(scores).reshape(4, 4)
    assert interquartile_mean(shuffled) == scores[4:12].mean()
    extreme = np.where(shuffled == 15, 1e9, shuffled)
    assert interquartile_mean(extreme) == interquartile_mean(shuffled)


def test_tasks_are_strata():
    """Where every seed scores alike in each task, however different the tasks, nothing is uncertain."""
    alike = np.tile([0.0, 0.3, 0.6, 1.0], (3, 1))
    low, high = interquartile_interval(alike)
    assert low == pytest.approx(high)
    assert np.array_equal(*profile_band(alike, THRESHOLDS))


OTHER = np.array([[0.12, 0.9, 0.3, 0.6], [0.2, 0.7, 0.45, 0.5], [0.3, 0.95, 0.1, 0.52]])


def test_the_probability_of_improvement_is_mann_whitneys_u_over_all_pairs():
    """Agarwal et al. 2021, section 4.3: the mean over tasks of U / (n m), where a tie counts half."""
    of_tasks = [mannwhitneyu(*pair).statistic / (5 * 3) for pair in zip(FIVE.T, OTHER.T, strict=True)]
    assert probability_of_improvement(FIVE, OTHER) == pytest.approx(np.mean(of_tasks))
    assert probability_of_improvement(OTHER, FIVE) == pytest.approx(1 - np.mean(of_tasks))
    assert probability_of_improvement(FIVE, FIVE) == 0.5


def test_its_interval_is_that_of_seeds_drawn_again_within_each_task():
    rng, found = np.random.default_rng(1), []
    for _ in range(4_000):
        drawn = [np.stack([rng.choice(task, len(task)) for task in scores.T], axis=1) for scores in (FIVE, OTHER)]
        found.append(probability_of_improvement(*drawn))
    expected = np.percentile(found, [2.5, 97.5])
    assert improvement_interval(FIVE, OTHER) == pytest.approx(expected, abs=0.03)
    assert improvement_interval(FIVE + 2, OTHER) == (1, 1)
    assert improvement_interval(FIVE, OTHER[:1]) is None and improvement_interval(FIVE[:1], OTHER) is None


def test_one_seed_has_no_interval_and_no_band():
    assert interquartile_interval(FIVE[:1]) is None and profile_band(FIVE[:1], THRESHOLDS) is None
    axes = Figure().subplots()
    draw_profile(axes, FIVE[:1], THRESHOLDS, "C0", "one")
    draw_profile(axes, FIVE, THRESHOLDS, "C1", "five")
    assert len(axes.lines) == 2 and len(axes.collections) == 1
