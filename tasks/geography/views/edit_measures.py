"""How far answers follow a city to where it was moved. N cities, P partners of each; NaN: cannot be read."""

import numpy as np

from geo.sphere import EARTH_RADIUS_KM

LEAST_CHANGE_KM = 500.0
"""Partners whose distance would change by less say little about how far the city has moved."""
_STARTS = 500


def shares_followed(
    before_NP: np.ndarray, after_NP: np.ndarray, own_NP: np.ndarray, target_NP: np.ndarray
) -> np.ndarray:
    """Return the share of the intended displacement in the answers about each city, (n,): a median over its partners.

    1: the answers have changed as the distances would; 0: not at all. An answer that cannot be read has followed
    nowhere, and so has a city of which no distance would change enough.

    Args:
        before_NP, after_NP: Answers in km without and with the edit.
        own_NP, target_NP: Distances in km from where the city is, and from where it was moved to.
    """
    intended_NP = target_NP - own_NP
    share_NP = np.nan_to_num((after_NP - before_NP) / np.where(intended_NP == 0, np.nan, intended_NP), nan=0.0)
    share_NP[np.abs(intended_NP) < LEAST_CHANGE_KM] = np.nan
    known_N = ~np.isnan(share_NP).all(axis=1)
    result_N = np.zeros(len(share_NP))
    result_N[known_N] = np.nanmedian(share_NP[known_N], axis=1)
    return result_N


def place_by_answers(answer_NP: np.ndarray, partner_NP3: np.ndarray) -> np.ndarray:
    """Return the place on the sphere that fits the answers about each city best, (n, 3); NaN with fewer than three.

    The sum of the absolute misfits, smoothed below 50 km, is smallest there. The search begins at the best of many
    places all over the globe.
    """
    from scipy.optimize import least_squares

    starts_S3 = _spread(_STARTS)
    places = []
    for answer_P, partner_P3 in zip(answer_NP, partner_NP3, strict=True):
        known_P = ~np.isnan(answer_P)
        if known_P.sum() < 3:
            places.append(np.full(3, np.nan))
            continue
        answer_K, partner_K3 = answer_P[known_P], partner_P3[known_P]
        misfit_S = np.abs(angles_km(starts_S3[:, None], partner_K3) - answer_K).mean(axis=1)
        start_3 = starts_S3[misfit_S.argmin()]
        found = least_squares(
            lambda at, to=partner_K3, km=answer_K: angles_km(at / np.linalg.norm(at), to) - km,
            start_3,
            loss="soft_l1",
            f_scale=50.0,
        )
        places.append(found.x / np.linalg.norm(found.x))
    return np.array(places)


def shares_of_way(found_N3: np.ndarray, own_N3: np.ndarray, target_N3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much nearer to its target each city was found than it is by itself, and how far off in km, (n,) each.

    1: at the target; 0: as far as before, also where no place was found, whose distance is the longest there is.
    """
    off_km_N = np.nan_to_num(angles_km(found_N3, target_N3), nan=np.pi * EARTH_RADIUS_KM)
    share_N = 1 - off_km_N / angles_km(own_N3, target_N3)
    return np.where(np.isnan(found_N3).any(axis=1), 0.0, share_N), off_km_N


def angles_km(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return great-circle distances between unit vectors, which are broadcast, along their last axis.

    By the chord, since the cosine loses all digits at short distances.
    """
    chord = np.linalg.norm(one - other, axis=-1)
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0))


def _spread(n: int) -> np.ndarray:
    """Return n places spread evenly over the sphere, (n, 3).

    Source: Á. González 2010, "Measurement of Areas on a Sphere Using Fibonacci and Latitude-Longitude Lattices".
    """
    number = np.arange(n) + 0.5
    z, azimuth = 1 - 2 * number / n, number * np.pi * (1 + np.sqrt(5))
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1)
