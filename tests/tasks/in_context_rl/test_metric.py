"""The metric of the dark rooms, by hand and against scikit-learn."""

import math

import evaluate
import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.metric import LAST, SHALLOW, ReturnInContext, accuracy_by_depth

from .model_helpers import simulated


def score(returns, random, optimal, **kwargs):
    return ReturnInContext().compute(
        predictions=np.asarray(returns).tolist(), random=list(random), optimal=list(optimal), **kwargs
    )


def random_returns(n=7, episodes=13, seed=0):
    rng = np.random.default_rng(seed)
    random = rng.uniform(0, 3, n)
    return rng.uniform(-1, 6, (n, episodes)), random, random + rng.uniform(0.5, 9, n)


def test_optimal_returns_are_1_and_random_ones_0():
    _, random, optimal = random_returns()
    optimal = 2 * random + optimal  # so that random actions solve nothing
    best = score(np.repeat(optimal[:, None], 12, axis=1), random, optimal)
    worst = score(np.repeat(random[:, None], 12, axis=1), random, optimal)
    for name in ("normalised_return", "optimality", "success_rate", "area_under_curve"):
        assert best[name] == pytest.approx(1)
    assert worst["normalised_return"] == worst["area_under_curve"] == pytest.approx(0) and worst["success_rate"] == 0
    assert best["return_last"] == best["return_first"] == pytest.approx(optimal.mean())
    assert worst["optimality"] == pytest.approx(random.mean() / optimal.mean())


@pytest.mark.parametrize("last", [1, 3, LAST, 13, 99])
def test_returns_are_scored_as_by_hand(last):
    returns, random, optimal = random_returns()
    found = score(returns, random, optimal, last=last)
    ends, shares, areas, solved, missed = [], [], [], 0, []
    for row, low, high in zip(returns.tolist(), random.tolist(), optimal.tolist(), strict=True):
        end = row[max(0, len(row) - last) :]
        ends.append(sum(end) / len(end))
        shares.append((ends[-1] - low) / (high - low))
        areas.append((sum(row) / len(row) - low) / (high - low))
        missed += [high - value for value in row]
        solved += 2 * ends[-1] >= high
    expected = {
        "normalised_return": math.fsum(shares) / 7,
        "return_last": math.fsum(ends) / 7,
        "return_first": math.fsum(row[0] for row in returns) / 7,
        "optimality": math.fsum(ends) / math.fsum(optimal),
        "area_under_curve": math.fsum(areas) / 7,
        "regret": math.fsum(missed) / 7,
        "success_rate": solved / 7,
    }
    assert found == pytest.approx(expected) and 0 < solved < 7
    if last == LAST:
        assert score(returns, random, optimal) == found


def test_a_rollout_at_exactly_half_of_its_optimum_is_solved():
    assert score([[2.0], [1.9], [2.1]], [0, 0, 0], [4, 4, 4])["success_rate"] == pytest.approx(2 / 3)


def test_the_order_of_rollouts_is_of_no_account():
    returns, random, optimal = random_returns()
    order = np.random.default_rng(1).permutation(len(returns))
    assert score(returns[order], random[order], optimal[order]) == pytest.approx(score(returns, random, optimal))


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/in_context_rl/metric.py")
    assert metric.compute(predictions=[[1.0, 3.0]], random=[1.0], optimal=[3.0], last=1)["normalised_return"] == 1
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match=r"no (predictions|episodes)"):
            metric.compute(predictions=nothing, random=[0.0] * len(nothing), optimal=[1.0] * len(nothing))
    with pytest.raises(ValueError, match="cannot be normalised"):
        metric.compute(predictions=[[1.0], [1.0]], random=[0.0, 1.0], optimal=[1.0, 1.0])


DEEPEST = Schedule(5, 2).length(SHALLOW)


@pytest.mark.parametrize("n_steps", [3, 9, DEEPEST - 3, DEEPEST, 40])
def test_accuracy_by_depth_is_that_of_scikit_learn(n_steps):
    rng, schedule = np.random.default_rng(0), Schedule(5, 2)
    true, said = rng.integers(0, 2, (2, 6, n_steps))
    depth_T = np.array([depth for depth, _ in simulated(5, 2, n_steps)])
    assert depth_T.tolist() == [schedule.depth(step) for step in range(n_steps)]
    expected = {"accuracy": accuracy_score(true.ravel(), said.ravel())}
    for depth in range(min(SHALLOW, depth_T.max() + 1)):
        where = depth_T == depth
        expected[f"accuracy_depth_{depth}"] = accuracy_score(true[:, where].ravel(), said[:, where].ravel())
    if depth_T.max() >= SHALLOW:
        where = depth_T >= SHALLOW
        expected["accuracy_deeper"] = accuracy_score(true[:, where].ravel(), said[:, where].ravel())
    assert accuracy_by_depth(true == said, depth_T) == pytest.approx(expected)
