"""Fit maps from hidden states to places on the sphere: linear ones, and kernel ridge regression beside them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from geo.sphere import great_circle_km, unit_vectors
from trainers.common.intervals import interval_of_difference, interval_of_mean

ALPHAS, ORIGINAL_ALPHA = np.logspace(-4, 6, 21), 10.0
KERNEL_ALPHAS, KERNEL_WIDTHS = np.logspace(-5, 1, 7), np.logspace(-3, 1, 9)
_MAX_TUNED = 1_000
"""Training cities on which kernel ridge is tuned: a fit costs their third power."""


def linear_vectors(features_NF: np.ndarray, places_deg: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Predict the unit vectors of all places, (N, 3), by ridge regression; alpha by leave-one-out cross-validation."""
    return linear_map(features_NF, places_deg, train)(features_NF)


def linear_map(
    features_NF: np.ndarray, places_deg: np.ndarray, train: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that `linear_vectors` predicts by, from features to unit vectors, for other features too."""
    from sklearn.linear_model import RidgeCV

    centre_F, scale = _scale_of(features_NF, train)

    def scaled(of_NF: np.ndarray) -> np.ndarray:
        return (of_NF.astype(np.float64) - centre_F) / scale

    ridge: Any = RidgeCV(ALPHAS).fit(scaled(features_NF[train]), unit_vectors(*places_deg[train].T))
    return lambda of_NF: ridge.predict(scaled(of_NF))


def linear_degrees(features_NF: np.ndarray, places_deg: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Predict latitude and longitude as the directions of `linear_vectors`, (N, 2)."""
    return degrees_of(linear_vectors(features_NF, places_deg, train))


def original_degrees(features_NF: np.ndarray, places_deg: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Predict latitude and longitude by ridge regression on degrees, (N, 2); they may lie off the globe."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=ORIGINAL_ALPHA).fit(features_NF[train], places_deg[train]).predict(features_NF)


def kernel_vectors(features_NF: np.ndarray, places_deg: np.ndarray, train: np.ndarray, seed: int) -> np.ndarray:
    """Predict the same by ridge regression with a Gaussian kernel; alpha and width by three-fold cross-validation."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV, KFold

    scaled_NF, mean = _scaled(features_NF, train), unit_vectors(*places_deg[train].T).mean(axis=0)
    targets_N3 = unit_vectors(*places_deg.T) - mean
    tuned = np.random.default_rng(seed).permutation(train)[:_MAX_TUNED]
    grid = {"alpha": KERNEL_ALPHAS, "gamma": KERNEL_WIDTHS / scaled_NF.shape[1]}
    folds = KFold(min(3, len(tuned)), shuffle=True, random_state=seed)
    search: Any = GridSearchCV(
        KernelRidge(kernel="rbf"), grid, cv=folds, scoring="neg_mean_squared_error", refit=False
    ).fit(scaled_NF[tuned], targets_N3[tuned])
    kernel = KernelRidge(kernel="rbf", **search.best_params_).fit(scaled_NF[train], targets_N3[train])
    return kernel.predict(scaled_NF) + mean


def degrees_of(vectors_N3: np.ndarray) -> np.ndarray:
    """Return latitude and longitude of the directions of vectors, (N, 2)."""
    x, y, z = vectors_N3.T
    return np.stack([np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))], axis=1)


def errors_km(vectors_N3: np.ndarray, places_deg: np.ndarray) -> np.ndarray:
    """Return how far the directions of vectors lie from places, (N,)."""
    return great_circle_km(*degrees_of(vectors_N3).T, *places_deg.T)


def unexplained(vectors_N3: np.ndarray, places_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every place its share of 1 - R² and its weight in their mean, (N,) each.

    R² is of unit vectors: 1 - squared errors / squared deviations from their mean, which is that of these places.
    """
    true_N3 = unit_vectors(*places_deg.T)
    spread_N = ((true_N3 - true_N3.mean(axis=0)) ** 2).sum(axis=1)
    return ((vectors_N3 - true_N3) ** 2).sum(axis=1) / np.maximum(spread_N, 1e-12), spread_N


def r2(vectors_N3: np.ndarray, places_deg: np.ndarray) -> float:
    """Return R² of unit vectors, all three axes together."""
    shares_N, weights_N = unexplained(vectors_N3, places_deg)
    return 1.0 - float(np.average(shares_N, weights=weights_N))


def stated_errors(name: str, vectors_N3: np.ndarray, places_deg: np.ndarray) -> dict[str, float]:
    """Return mean error in km, R² and their 95 % intervals over places, as `name_error_km_mean`, `name_r2_from`…"""
    error_km, prefix = errors_km(vectors_N3, places_deg), f"{name}_" if name else ""
    found = {f"{prefix}error_km_mean": float(error_km.mean()), f"{prefix}r2": r2(vectors_N3, places_deg)}
    found |= _ends(f"{prefix}error_km_mean", interval_of_mean(error_km))
    above = interval_of_mean(*unexplained(vectors_N3, places_deg))
    return found | _ends(f"{prefix}r2", above and (1.0 - above[1], 1.0 - above[0]))


def stated_difference(name: str, one: Any, other: Any) -> dict[str, float]:
    """Return the mean of one less that of the other, of the same places, with its 95 % interval.

    Args:
        one, other: Values and weights, (N,) each.
    """
    difference = float(np.average(one[0], weights=one[1]) - np.average(other[0], weights=other[1]))
    return {name: difference} | _ends(name, interval_of_difference(one, other))


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, float]:
    return {} if interval is None else {f"{name}_from": interval[0], f"{name}_to": interval[1]}


def _scaled(features_NF: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Centre and scale by the training rows, all features by one factor."""
    centre_F, scale = _scale_of(features_NF, train)
    return (features_NF.astype(np.float64) - centre_F) / scale


def _scale_of(features_NF: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, float]:
    centre_F = features_NF[train].mean(axis=0, dtype=np.float64)
    return centre_F, (features_NF[train].astype(np.float64) - centre_F).std() or 1.0
