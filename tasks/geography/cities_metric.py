"""The `evaluate` metric of questions whose answers are cities: how much of the right ones is named."""

from collections.abc import Sequence

import datasets
import numpy as np

from tasks.geography.question_answers import parse_cities
from trainers.common.local_metric import LocalMetric


def overlaps(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return the Jaccard index of the cities in each pair of texts, (n,); 0 where a prediction cannot be read."""
    pairs = [
        (set(parse_cities(one)), set(parse_cities(other))) for one, other in zip(predictions, references, strict=True)
    ]
    return np.array([len(one & other) / len(one | other) for one, other in pairs])


class CityOverlap(LocalMetric):
    """`evaluate.load("tasks/geography/cities_metric.py")` or `CityOverlap()`."""

    about = "Overlap of the cities that are named with the right ones; an answer that cannot be read has none."
    inputs = """
Args:
    predictions: (n,) texts such as `c_12,c_7`.
    references: (n,) texts of the same form.
Returns:
    jaccard_mean: mean of common cities / cities in either, whatever their order, 0 to 1.
    exact_match: share of equal texts: the same cities in the same order, 0 to 1.
    parse_rate: share of predictions that are different cities, 0 to 1.
"""
    cites = "P. Jaccard (1912), The Distribution of the Flora in the Alpine Zone, New Phytologist 11(2), 37."
    columns = dict.fromkeys(("predictions", "references"), datasets.Value("string"))

    def score(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return {
            "jaccard_mean": float(overlaps(predictions, references).mean()),
            "exact_match": float(np.mean([one == other for one, other in zip(predictions, references, strict=True)])),
            "parse_rate": float(np.mean([bool(parse_cities(text)) for text in predictions])),
        }
