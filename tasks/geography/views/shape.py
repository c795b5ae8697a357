"""The shape of a cloud of states, without any label: its dimension, and whether it is a globe.

TwoNN takes the dimension from how much farther the second neighbour of a point is than the first; far from that scale
it can be another one, so that it is taken from parts of the points too, whose neighbours are farther.
"""

import numpy as np

from trainers.common.intervals import interval_of_mean


def log_ratios(points_ND: np.ndarray, parts: int = 1, seed: int = 0) -> np.ndarray:
    """Return the logarithm of every point's distance to its second neighbour over that to its first, (m,).

    Points with a twin (distance 0) have none and are left out.

    Args:
        parts: Into so many random parts the points are cut; neighbours are those within a part.
    """
    from sklearn.neighbors import NearestNeighbors

    order, found = np.random.default_rng(seed).permutation(len(points_ND)), []
    for rows in np.array_split(order, parts):
        distances_M3, _ = NearestNeighbors(n_neighbors=3).fit(points_ND[rows]).kneighbors(points_ND[rows])
        is_single = distances_M3[:, 1] > 0
        found.append(np.log(distances_M3[is_single, 2] / distances_M3[is_single, 1]))
    return np.concatenate(found)


def two_nn(log_ratio_M: np.ndarray) -> tuple[float, float, float]:
    """Return the intrinsic dimension with the ends of its interval over points.

    The estimate by maximum likelihood: the logarithms are exponentially distributed with the dimension as their rate.

    Source: E. Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
    Scientific Reports 7, 2017; F. Denti et al., "The generalized ratios intrinsic dimension estimator", 2022, eq. 4.
    """
    ends = interval_of_mean(log_ratio_M)
    n, mean = len(log_ratio_M), log_ratio_M.mean() if len(log_ratio_M) else 0.0
    if ends is None or min(ends[0], mean) <= 0:
        return np.nan, np.nan, np.nan
    return (n - 1) / n / float(mean), 1 / ends[1], 1 / ends[0]


def participation_ratio(points_ND: np.ndarray) -> float:
    """Return in how many directions the points spread, were they equal ones: (sum of variances)² / sum of squares.

    Source: P. Gao et al., "A theory of multineuronal dimensionality, dynamics and measurement", 2017.
    """
    covariance_DD = np.atleast_2d(np.cov(points_ND, rowvar=False))
    square = float((covariance_DD**2).sum())  # of the eigenvalues, too
    return float(np.trace(covariance_DD) ** 2 / square) if square > 0 else 0.0


def principal_components(points_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points' scores on all principal components, (n, K), and their shares of the variance, (K,)."""
    centred_ND = points_ND - points_ND.mean(axis=0)
    left_NK, values_K, _ = np.linalg.svd(centred_ND, full_matrices=False)
    total = (values_K**2).sum()
    return left_NK * values_K, values_K**2 / total if total > 0 else np.zeros_like(values_K)


def disparity(points_N3: np.ndarray, true_N3: np.ndarray) -> float:
    """Return what is left between points and true ones after the best shift, turn and scale: 0 (all alike) to 1."""
    from scipy.spatial import procrustes

    if not np.ptp(points_N3, axis=0).any():
        return 1.0  # one place for all, which no scale spreads
    return float(procrustes(true_N3, points_N3)[2])


def permuted_disparities(points_N3: np.ndarray, true_N3: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Return the disparities of points that are given to cities at random, (permutations,)."""
    rng = np.random.default_rng(seed)
    return np.array([disparity(points_N3[rng.permutation(len(points_N3))], true_N3) for _ in range(permutations)])


def r2_of(targets_NK: np.ndarray, true_N3: np.ndarray, degree: int = 1) -> np.ndarray:
    """Return which share of each component's variance the true places explain, (K,); not held out.

    Args:
        degree: Of the polynomials in the coordinates: 1 is linear, 2 has their squares and products too.
    """
    from sklearn.preprocessing import PolynomialFeatures

    design_NP = PolynomialFeatures(degree).fit_transform(true_N3)
    rest_NK = targets_NK - design_NP @ np.linalg.lstsq(design_NP, targets_NK, rcond=None)[0]
    variance_K = targets_NK.var(axis=0)
    return 1 - np.divide(rest_NK.var(axis=0), variance_K, out=np.ones_like(variance_K), where=variance_K > 0)
