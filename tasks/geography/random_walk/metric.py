"""The `evaluate` metric of `random_walk`: which share of the steps is legal, failures included."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from geo.sphere import great_circle_km
from trainers.common.local_metric import LocalMetric

_INPUTS = """
Args:
    predictions: n walks, each the ids of its cities from the start on; an empty one is an answer that cannot be read.
    references: n true walks, for their length.
    city_id, lat_deg, lon_deg: the table of cities, one entry a city.
    radius_km: longest legal step; a city exactly this far away counts.
Returns:
    legal_steps: share of legal steps among all steps of all walks, 0 to 1; an answer that cannot be read counts as one
        illegal step, and if no walk makes a step the share is 0.
    legal_walks: share of walks that can be read and have no illegal step (also if they have no step), 0 to 1.
    length_mean, expected_length_mean: cities in a walk, the start included; 0 for an answer that cannot be read.
    parse_rate: share, 0 to 1.
"""


def step_legality(
    walks: Sequence[Sequence[int]], city_id: np.ndarray, lat_deg: np.ndarray, lon_deg: np.ndarray, radius_km: float
) -> list[np.ndarray]:
    """Return for every walk (a sequence of ids) whether each of its steps is legal, bool, (cities - 1,)."""
    length_N = np.array([len(walk) for walk in walks], dtype=np.int64)
    walk_M = np.repeat(np.arange(len(walks)), length_N)
    id_M = np.array([city for walk in walks for city in walk], dtype=np.int64)
    order = np.argsort(city_id)
    row_M = order[np.minimum(np.searchsorted(city_id, id_M, sorter=order), len(city_id) - 1)]
    known_M = city_id[row_M] == id_M
    is_new_M = np.zeros(len(id_M), dtype=bool)
    _, first = np.unique(np.stack([walk_M, id_M]), axis=1, return_index=True)
    is_new_M[first] = True
    before, after = row_M[:-1], row_M[1:]
    near = great_circle_km(lat_deg[before], lon_deg[before], lat_deg[after], lon_deg[after]) <= radius_km + 1e-9
    legal = near & known_M[:-1] & known_M[1:] & is_new_M[1:]
    begin_N = np.cumsum(length_N) - length_N
    return [legal[begin : begin + max(n - 1, 0)] for begin, n in zip(begin_N, length_N, strict=True)]


def legality(walks: Sequence[Sequence[int]], legal: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the shares and the mean length of n ≥ 1 walks with the legality of their steps."""
    length_N = np.array([len(walk) for walk in walks])
    steps = sum(map(len, legal)) + int((length_N == 0).sum())
    fully = [n > 0 and is_legal.all() for n, is_legal in zip(length_N, legal, strict=True)]
    return {
        "legal_steps": float(sum(is_legal.sum() for is_legal in legal) / max(steps, 1)),
        "legal_walks": float(np.mean(fully)),
        "length_mean": float(length_N.mean()),
        "parse_rate": float((length_N > 0).mean()),
    }


class WalkLegality(LocalMetric):
    """`evaluate.load("tasks/geography/random_walk/metric.py")` or `WalkLegality()`."""

    about = "Legality of walks: a step is legal if it leads to a city not yet visited, at most radius_km away."
    inputs = _INPUTS
    columns = dict.fromkeys(("predictions", "references"), datasets.Sequence(datasets.Value("int64")))

    def score(self, predictions: list[list[int]], references: list[list[int]], **world: Any) -> dict[str, float]:
        scores = legality(predictions, step_legality(predictions, **world))
        return {**scores, "expected_length_mean": float(np.mean([len(walk) for walk in references]))}
