"""The `evaluate` metric of every task that asks for a distance: absolute error in km, failures included."""

import datasets
import numpy as np

from tasks.geography.number_metric import absolute_errors
from trainers.common.local_metric import LocalMetric

PARSE_FAILURE_KM = 20_000.0  # about half the Earth's circumference, the longest distance there is
LONGEST_KM = 20_015.0  # half the circumference of a sphere of radius 6,371 km; a longer answer is no distance on it


def absolute_errors_km(predictions_km: np.ndarray, references_km: np.ndarray) -> np.ndarray:
    """Return absolute errors in km, shape (n,); `PARSE_FAILURE_KM` where a prediction is NaN."""
    return absolute_errors(predictions_km, references_km, PARSE_FAILURE_KM)


def summary(error_km: np.ndarray, references_km: np.ndarray) -> dict[str, float]:
    """Return mean, median and relative error of n ≥ 1 absolute errors."""
    return {
        "abs_error_km_mean": float(error_km.mean()),
        "abs_error_km_median": float(np.median(error_km)),
        "relative_error_median": float(np.median(error_km / np.maximum(references_km, 1.0))),
    }


class AbsoluteError(LocalMetric):
    """`evaluate.load("tasks/geography/pair_metric.py")` or `AbsoluteError()`."""

    about = "Absolute error in km of predicted distances; unreadable predictions count 20,000 km."
    inputs = """
Args:
    predictions: (n,) distances in km; NaN is an answer that could not be parsed.
    references: (n,) true distances in km.
Returns:
    abs_error_km_mean, abs_error_km_median: km, 0 to 20,015.
    relative_error_median: median of error / true distance (true distances below 1 km count as 1 km).
    parse_rate: share, 0 to 1.
"""
    columns = dict.fromkeys(("predictions", "references"), datasets.Value("float64"))

    def score(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        predictions_km, references_km = np.asarray(predictions, float), np.asarray(references, float)
        errors = summary(absolute_errors_km(predictions_km, references_km), references_km)
        return {**errors, "parse_rate": float(1.0 - np.isnan(predictions_km).mean())}
