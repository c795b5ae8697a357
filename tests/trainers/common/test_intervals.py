"""Intervals over examples, against SciPy, statsmodels' formula and simulation."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from trainers.common.intervals import interval_of_difference, interval_of_mean

RNG = np.random.default_rng(5)


def test_a_share_has_wilsons_interval():
    values = np.repeat([True, False], [3, 17])
    z, p, n = norm.ppf(0.975), 3 / 20, 20
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = (p + z**2 / (2 * n) + np.array([-half, half])) / (1 + z**2 / n)
    assert interval_of_mean(values) == pytest.approx(tuple(expected), abs=1e-9)


def test_errors_that_happen_to_be_0_or_1_are_no_share():
    assert interval_of_mean(np.zeros(60)) == (0, 0) != interval_of_mean(np.zeros(60, dtype=bool))


def test_a_mean_has_scipys_interval():
    values = RNG.exponential(size=50)
    options = {"n_resamples": 2_000, "method": "percentile", "rng": np.random.default_rng(0), "batch": 200_000}
    low, high = bootstrap(
        (values, np.ones(50)), lambda v, w, axis: v.mean(axis), paired=True, **options
    ).confidence_interval
    assert interval_of_mean(values) == pytest.approx((low, high), abs=1e-9)


def test_weights_of_zero_are_no_examples_and_order_does_not_matter():
    values, weights = RNG.normal(size=40), RNG.integers(1, 9, 40).astype(float)
    more = np.append(values, [99.0, -99.0]), np.append(weights, [0.0, 0.0])
    assert interval_of_mean(*more) == interval_of_mean(values, weights)


def test_examples_of_one_group_are_no_independent_evidence():
    values = np.repeat(RNG.normal(size=8), 50)
    low, high = interval_of_mean(values, groups=np.repeat(np.arange(8), 50))
    alone = interval_of_mean(values)
    once = interval_of_mean(values[::50])
    assert (low, high) == pytest.approx(once) and high - low > 3 * (alone[1] - alone[0])


@pytest.mark.parametrize("values", [[1.0], [0.5] * 5])
def test_what_cannot_differ_has_no_interval(values):
    assert interval_of_mean(np.array(values), groups=np.zeros(len(values))) is None


def test_the_paired_difference_knows_what_both_share():
    hard = RNG.normal(scale=10, size=200)
    one, other = hard + RNG.normal(scale=0.1, size=200) + 1, hard
    equal = np.ones(200)
    low, high = interval_of_difference((one, equal), (other, equal))
    assert low < 1 < high and high - low < 0.1
    assert interval_of_difference((one, equal), (one, equal)) == (0, 0)


def test_of_200_samples_about_95_percent_of_the_intervals_hold_the_mean():
    found = [interval_of_mean(sample) for sample in RNG.exponential(size=(200, 100))]
    assert 0.88 <= np.mean([low <= 1 <= high for low, high in found]) <= 0.99
