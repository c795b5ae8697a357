"""The `evaluate` metric of a mixture: how far each task got from its trivial answer to a perfect one, on average."""

import datasets
import numpy as np
from numpy.typing import ArrayLike

from trainers.common.local_metric import LocalMetric
from trainers.mixture import PRIMARY


def improvement(score: ArrayLike, trivial: ArrayLike, perfect: ArrayLike) -> np.ndarray:
    """Return 0 for scores as good as the trivial answer's, 1 for perfect ones, below 0 for worse than trivial.

    Where the trivial answer is perfect there is nothing to improve: 0.
    """
    gained, to_gain = np.broadcast_arrays(np.subtract(score, trivial), np.subtract(perfect, trivial))
    return np.divide(gained, to_gain, out=np.zeros(gained.shape), where=to_gain != 0)


class Improvement(LocalMetric):
    """`evaluate.load("trainers/mixtures/metric.py")` or `Improvement()`."""

    about = (
        "Mean over tasks of (score - trivial) / (perfect - trivial): 0 is no better than trivial answers, 1 perfect."
    )
    inputs = """
Args:
    predictions: (n,) scores of n tasks, errors or shares.
    references: (n,) scores of the trivial answers, none of them perfect.
    perfect: (n,) scores of perfect answers.
Returns:
    improvement_mean: at most 1.
"""
    columns = dict.fromkeys(("predictions", "references", "perfect"), datasets.Value("float64"))

    def score(self, predictions: list[float], references: list[float], perfect: list[float]) -> dict[str, float]:
        return {PRIMARY: float(improvement(*map(np.asarray, (predictions, references, perfect))).mean())}
