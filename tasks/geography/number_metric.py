"""The `evaluate` metric of questions whose answer is a number: absolute error, answers that are no number included."""

import datasets
import numpy as np

from trainers.common.local_metric import LocalMetric


def absolute_errors(predictions: np.ndarray, references: np.ndarray, failure: float) -> np.ndarray:
    """Return absolute errors, shape (n,); `failure` where a prediction is NaN."""
    error = np.abs(np.subtract(predictions, references))
    return np.where(np.isnan(error), failure, error)


class NumberError(LocalMetric):
    """`evaluate.load("tasks/geography/number_metric.py")` or `NumberError()`."""

    about = "Absolute error of predicted numbers, in the question's unit; an unreadable prediction counts `failure`."
    inputs = """
Args:
    predictions: (n,) numbers; NaN is an answer that could not be parsed.
    references: (n,) true numbers.
    failure: the error of an answer that could not be parsed.
Returns:
    abs_error_mean, abs_error_median: in the unit of the references.
    parse_rate: share, 0 to 1.
"""
    columns = dict.fromkeys(("predictions", "references"), datasets.Value("float64"))

    def score(self, predictions: list[float], references: list[float], failure: float) -> dict[str, float]:
        error = absolute_errors(np.asarray(predictions, float), np.asarray(references, float), failure)
        return {
            "abs_error_mean": float(error.mean()),
            "abs_error_median": float(np.median(error)),
            "parse_rate": float(1.0 - np.isnan(np.asarray(predictions, float)).mean()),
        }
