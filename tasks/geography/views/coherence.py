"""Are answers the distances of any world? How far they are from symmetric, and from the triangle inequality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.geography.views.resampling import draw_counts, percentiles

ROUNDING_KM = 1.5  # three distances, each rounded to whole km, can miss the triangle inequality by so much
TRIANGLES, TRIANGLES_SEED = 50_000, 0


@dataclass(frozen=True)
class Share:
    """A share or mean over pairs or triangles of cities, with its interval over cities."""

    value: float
    interval: tuple[float, float]
    n: int
    """Pairs or triangles that it is the mean over."""

    def columns(self, name: str) -> dict[str, Any]:
        """Return the columns of a table: `name`, `name_from`, `name_to`, `name_n`."""
        low, high = self.interval
        return {name: self.value, f"{name}_from": low, f"{name}_to": high, f"{name}_n": self.n}


def both_ways(answer_km_NN: np.ndarray) -> np.ndarray:
    """Return the mean of the answers there and back, the one that could be read, or NaN; NaN on the diagonal."""
    known_NN = ~np.isnan(answer_km_NN)
    number_NN = known_NN.astype(int) + known_NN.T
    total_NN = np.nan_to_num(answer_km_NN) + np.nan_to_num(answer_km_NN).T
    mean_NN = np.divide(total_NN, number_NN, out=np.full(answer_km_NN.shape, np.nan), where=number_NN > 0)
    np.fill_diagonal(mean_NN, np.nan)
    return mean_NN


def mean_over_pairs(value_NN: np.ndarray) -> Share:
    """Return the mean over pairs of different cities of what is known (not NaN); of ordered ones if asymmetric."""
    known_NN = ~np.isnan(value_NN)
    np.fill_diagonal(known_NN, False)
    if not known_NN.any():
        return Share(np.nan, (np.nan, np.nan), 0)
    value_NN, counts_BN = np.where(known_NN, value_NN, 0.0), draw_counts(len(value_NN))
    totals_B, weights_B = (((counts_BN @ matrix) * counts_BN).sum(axis=1) for matrix in (value_NN, known_NN))
    with np.errstate(invalid="ignore"):
        drawn_B = totals_B / weights_B  # NaN where two or three cities make up a resample
    return Share(float(value_NN.sum() / known_NN.sum()), percentiles(drawn_B), int(known_NN.sum()))


def asymmetry(answer_km_NN: np.ndarray) -> dict[str, Share]:
    """Return the mean of |d(i,j) - d(j,i)|, and the share of pairs in which they differ at all.

    Each pair counts once in n.
    """
    gap_NN = np.abs(answer_km_NN - answer_km_NN.T)
    differs_NN = np.where(np.isnan(gap_NN), np.nan, gap_NN > 0)
    found = {"asymmetry_km_mean": mean_over_pairs(gap_NN), "asymmetry_share": mean_over_pairs(differs_NN)}
    return {name: Share(share.value, share.interval, share.n // 2) for name, share in found.items()}


def triangles(dist_km_NN: np.ndarray) -> dict[str, Share]:
    """Return in which share of triangles a side is longer than the way round, and by how much in the mean of these.

    Triangles are drawn at random from those whose sides are known; what rounding can do is no violation.

    Args:
        dist_km_NN: Symmetric, NaN: unknown.
    """
    corners_T3, excess_km = _draw_triangles(dist_km_NN)
    is_wrong_T = excess_km > ROUNDING_KM
    none = Share(np.nan, (np.nan, np.nan), 0)
    found = {
        "triangle_share": _mean_over_triangles(is_wrong_T.astype(float), corners_T3, len(dist_km_NN)),
        "triangle_excess_km_mean": none,
    }
    if is_wrong_T.any():
        wrong = (excess_km[is_wrong_T], corners_T3[is_wrong_T], len(dist_km_NN))
        found["triangle_excess_km_mean"] = _mean_over_triangles(*wrong)
    return found


def excess_of(dist_km_NN: np.ndarray, corners_T3: np.ndarray) -> np.ndarray:
    """Return by how many km the longest side of triangles is longer than the two others together, (t,)."""
    i, j, k = corners_T3.T
    sides_T3 = np.stack([dist_km_NN[i, j], dist_km_NN[j, k], dist_km_NN[k, i]], axis=1)
    return 2 * sides_T3.max(axis=1) - sides_T3.sum(axis=1)


def _draw_triangles(dist_km_NN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners_T3 = np.random.default_rng(TRIANGLES_SEED).integers(len(dist_km_NN), size=(TRIANGLES, 3))
    excess_km = excess_of(dist_km_NN, corners_T3)  # NaN where two corners are one city
    return corners_T3[~np.isnan(excess_km)], excess_km[~np.isnan(excess_km)]


def _mean_over_triangles(value_T: np.ndarray, corners_T3: np.ndarray, n: int) -> Share:
    if not len(value_T):
        return Share(np.nan, (np.nan, np.nan), 0)
    drawn = []
    for counts_N in draw_counts(n):
        weight_T = counts_N[corners_T3].prod(axis=1)
        drawn.append((weight_T @ value_T) / weight_T.sum() if weight_T.any() else np.nan)
    return Share(float(value_T.mean()), percentiles(np.array(drawn)), len(value_T))


def coherence(answer_km_NN: np.ndarray) -> Mapping[str, Share]:
    """Return asymmetry and triangle violations of answers, NaN where one could not be read."""
    return {**asymmetry(answer_km_NN), **triangles(both_ways(answer_km_NN))}
