"""Make a map of distances alone: metric scaling in three dimensions, then a rotation onto the true places.

Distances are great circles, so their chords through the unit sphere are what three dimensions can hold exactly.
"""

import numpy as np

from geo.sphere import great_circle_km

MIN_DISTANCES = 4  # to other cities, below which a place in three dimensions, and its side, do not follow
_MOST_STEPS, _ENOUGH = 1_000, 1e-9


def placeable(known_NN: np.ndarray) -> np.ndarray:
    """Return the rows whose places follow from the known distances, (m,) int64: each has enough to others of them."""
    rows = np.arange(len(known_NN))
    while len(rows) and (poor := known_NN[np.ix_(rows, rows)].sum(axis=1) < MIN_DISTANCES).any():
        rows = rows[~poor]
    return rows


def scale(chord_NN: np.ndarray, known_NN: np.ndarray) -> np.ndarray:
    """Return points whose distances are, by least squares, the known chords, (n, 3) with the mean 0.

    Starts from classical scaling, in which the mean of the known ones stands for unknown ones; then SMACOF, where they
    have no weight.

    Args:
        chord_NN: Symmetric. known_NN: bool, symmetric, False on the diagonal; every row of `placeable`.

    Source: I. Borg, P. Groenen, "Modern Multidimensional Scaling", 2nd edition, 2005, sections 12.1 and 8.6.
    """
    chord_NN = np.where(known_NN, chord_NN, 0.0)
    weight_NN = known_NN.astype(np.float64)
    points_N3 = classical_scaling(np.where(known_NN | np.eye(len(chord_NN), dtype=bool), chord_NN, _mean(chord_NN)))
    laplacian_NN = np.diag(weight_NN.sum(axis=1)) - weight_NN
    inverse_NN = np.linalg.pinv(laplacian_NN, hermitian=True)
    before = np.inf
    for _ in range(_MOST_STEPS):
        apart_NN = _apart(points_N3)
        stress = float((weight_NN * (apart_NN - chord_NN) ** 2).sum())
        if before - stress <= _ENOUGH * (chord_NN**2).sum():
            break
        before = stress
        ratio_NN = np.divide(chord_NN, apart_NN, out=np.zeros_like(chord_NN), where=apart_NN > 0)
        points_N3 = inverse_NN @ (np.diag(ratio_NN.sum(axis=1)) - ratio_NN) @ points_N3
    return points_N3


def classical_scaling(chord_NN: np.ndarray) -> np.ndarray:
    """Return the three first principal coordinates of distances that are all known, (n, 3)."""
    square_NN = chord_NN**2
    mean_N = square_NN.mean(axis=0)
    values, vectors = np.linalg.eigh(-0.5 * (square_NN - mean_N - mean_N[:, None] + mean_N.mean()))
    return vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0.0))


def lay_onto(points_N3: np.ndarray, true_N3: np.ndarray) -> np.ndarray:
    """Move, turn and, if need be, mirror points, without a change of scale, so that they lie closest to the true ones.

    Which of two mirror images a map is does not follow from distances.
    """
    from scipy.linalg import orthogonal_procrustes

    centre_3, true_centre_3 = points_N3.mean(axis=0), true_N3.mean(axis=0)
    turn_33, _ = orthogonal_procrustes(points_N3 - centre_3, true_N3 - true_centre_3)
    return (points_N3 - centre_3) @ turn_33 + true_centre_3


def distances_between(places_deg: np.ndarray) -> np.ndarray:
    """Return the great-circle distances in km between all of n places, (n, n)."""
    lat_deg, lon_deg = places_deg.T
    return great_circle_km(lat_deg[:, None], lon_deg[:, None], lat_deg, lon_deg)


def _apart(points_N3: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(points_N3, points_N3)


def _mean(chord_NN: np.ndarray) -> float:
    return float(chord_NN[chord_NN > 0].mean()) if (chord_NN > 0).any() else 0.0
