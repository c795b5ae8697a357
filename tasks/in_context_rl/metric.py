"""Metrics of learning in context: returns of acting, and accuracy of predicted actions."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from trainers.common.local_metric import LocalMetric

LAST = 10
"""Episodes at the end of a rollout over which returns are averaged."""
SHALLOW = 4
"""Depths with an accuracy of their own; deeper ones share one."""

_INPUTS = """
Args:
    predictions: for every rollout the returns of its episodes, in order; the same number everywhere.
    random, optimal: for every rollout the expected return of random actions in its task, and the largest possible.
    last: number of episodes at the end over which returns are averaged.
Returns:
    normalised_return: of the last episodes, 0 for random and 1 for optimal actions, each rollout alike.
    return_last: the same in rewards. return_first: of the first episode.
    optimality: return_last over the mean optimum.
    area_under_curve: the normalised return of all episodes.
    regret: what all episodes together bring less than optimal ones, in rewards: the area above the curve.
    success_rate: rollouts that reach at least half of their optimum in the last episodes.
"""

_NUMBER = datasets.Value("float64")


class ReturnInContext(LocalMetric):
    """`evaluate.load("tasks/in_context_rl/metric.py")` or `ReturnInContext()`."""

    about = "Returns of consecutive episodes in one context, between random and optimal."
    inputs = _INPUTS
    columns: ClassVar = {"predictions": datasets.List(_NUMBER), "random": _NUMBER, "optimal": _NUMBER}

    def score(
        self, predictions: Sequence[Sequence[float]], random: Any, optimal: Any, last: int = LAST
    ) -> dict[str, float]:
        if min(len(returns) for returns in predictions) == 0:
            raise ValueError("no episodes: a mean over nothing is undefined; add rollouts before compute()")
        return_NE, random_N, optimal_N = np.array(predictions, dtype=float), np.array(random), np.array(optimal)
        if (optimal_N <= random_N).any():
            raise ValueError("a task whose optimum is not above random actions cannot be normalised; leave it out")
        scores, weights = example_scores(return_NE, random_N, optimal_N, last)
        return {name: float(np.average(of, weights=weights.get(name))) for name, of in scores.items()}


def example_scores(
    return_NE: np.ndarray, random_N: np.ndarray, optimal_N: np.ndarray, last: int = LAST
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what every rollout contributes to the mean that each metric is, and weights where they are not equal."""
    normalised_NE = (return_NE - random_N[:, None]) / (optimal_N - random_N)[:, None]
    last_N = return_NE[:, -last:].mean(axis=1)
    scores = {
        "normalised_return": normalised_NE[:, -last:].mean(axis=1),
        "return_last": last_N,
        "return_first": return_NE[:, 0],
        "optimality": last_N / optimal_N,
        "area_under_curve": normalised_NE.mean(axis=1),
        "regret": (optimal_N[:, None] - return_NE).sum(axis=1),
        "success_rate": last_N >= optimal_N / 2,
    }
    return scores, {"optimality": optimal_N}


def accuracy_by_depth(correct_NT: np.ndarray, depth_T: np.ndarray) -> Mapping[str, float]:
    """Return the share of actions predicted correctly, overall and by depth; shallow depths each."""
    shallow = {f"accuracy_depth_{depth}": depth_T == depth for depth in range(SHALLOW)}
    steps_T = {"accuracy": depth_T >= 0, **shallow, "accuracy_deeper": depth_T >= SHALLOW}
    return {name: float(correct_NT[:, chosen_T].mean()) for name, chosen_T in steps_T.items() if chosen_T.any()}
