"""The `evaluate` metric of `location`: great-circle error in km, where an answer that cannot be read counts 20,000."""

from typing import Any

import datasets
import numpy as np

from geo.sphere import great_circle_km
from trainers.common.local_metric import LocalMetric

PARSE_FAILURE_KM = 20_000.0  # about half the Earth's circumference: no readable answer is further away


def errors_km(predictions_deg: np.ndarray, references_deg: np.ndarray) -> np.ndarray:
    """Return the distance in km of each row of (n, 2) degrees, (n,); `PARSE_FAILURE_KM` where a prediction is NaN."""
    dist_km = great_circle_km(*np.transpose(predictions_deg), *np.transpose(references_deg))
    return np.where(np.isnan(predictions_deg).any(axis=1), PARSE_FAILURE_KM, dist_km)


def example_scores(dist_km: np.ndarray, predictions_deg: np.ndarray) -> dict[str, Any]:
    """Return what every prediction contributes to each metric that is a mean."""
    readable = ~np.isnan(predictions_deg).any(axis=1)
    return {"haversine_km_mean": dist_km, "within_100km": dist_km <= 100.0, "parse_rate": readable}


class Haversine(LocalMetric):
    """`evaluate.load("tasks/geography/location/metric.py")` or `Haversine()`."""

    about = "Great-circle distance in km between predicted and true places; unreadable predictions count 20,000 km."
    inputs = """
Args:
    predictions: (n, 2) latitude and longitude in degrees; a row with NaN is an answer that could not be parsed.
    references: (n, 2) latitude and longitude in degrees.
Returns:
    haversine_km_mean, haversine_km_median, haversine_km_p90: km, 0 to 20,015.
    within_100km, parse_rate: shares, 0 to 1.
"""
    cites = "R. W. Sinnott (1984), Virtues of the Haversine, Sky and Telescope 68(2), 159."
    columns = dict.fromkeys(("predictions", "references"), datasets.Sequence(datasets.Value("float64"), length=2))

    def score(self, predictions: list[list[float]], references: list[list[float]]) -> dict[str, float]:
        dist_km = errors_km(np.asarray(predictions), np.asarray(references))
        mean = {name: float(of.mean()) for name, of in example_scores(dist_km, np.asarray(predictions)).items()}
        return {
            "haversine_km_mean": mean.pop("haversine_km_mean"),
            "haversine_km_median": float(np.median(dist_km)),
            "haversine_km_p90": float(np.percentile(dist_km, 90)),
            **mean,
        }
