"""Gittins index of an arm with Gaussian rewards, for a given number of pulls that are left.

An arm competes with a sure reward: for how large a one is it just worth trying the arm, if one may stop at any time?
That is its index (Gittins 1979; for a finite horizon Bradt, Johnson and Karlin 1956). With a Gaussian prior it is the
posterior mean and a bonus that depends on the numbers of pulls only, found here by backward induction over the mean, on
a grid in posterior standard deviations.

The means of the arms are uniform in [0, 1]; the prior is the Gaussian of the same mean and variance.
"""

from functools import cache

import numpy as np
from scipy.special import ndtr

PRIOR_MEAN, PRIOR_VARIANCE = 0.5, 1 / 12
_REACH, _STEP = 6.0, 0.1


@cache
def index_bonus(n_steps: int, reward_sd: float) -> np.ndarray:
    """Return what the index is above the posterior mean, (C, L): after C pulls of the arm, with L in all still to come.

    Where pulls done and left are more than `n_steps` together, and with none left, it is 0.
    """
    count_C = np.arange(n_steps + 1)
    sd_C = (1 / PRIOR_VARIANCE + count_C / reward_sd**2) ** -0.5
    moves_C = np.sqrt(sd_C[:-1] ** 2 - sd_C[1:] ** 2)  # standard deviation of the change of the mean by a pull
    z_Z = np.linspace(-_REACH, _REACH, 2 * round(_REACH / _STEP) + 1)
    mean_CZ = sd_C[:-1, None] * z_Z
    positive_CZ = _above_zero(mean_CZ, moves_C[:, None])
    expected_CZZ = _expectations(sd_C, moves_C, z_Z)
    bonus_CL = np.zeros((n_steps + 1, n_steps + 1))
    # What the choice is worth above that of an arm whose mean is known: nothing far from where both rewards are equal.
    option_CZ = np.zeros((n_steps + 1, len(z_Z)))
    for left in range(1, n_steps + 1):
        n = n_steps - left + 1  # so many numbers of pulls there can have been
        later_CZ = np.matmul(expected_CZZ[:n], option_CZ[1 : n + 1, :, None])[..., 0]
        try_CZ = mean_CZ[:n] + (left - 1) * positive_CZ[:n] + later_CZ
        option_CZ = np.maximum(try_CZ, 0) - left * np.maximum(mean_CZ[:n], 0)
        bonus_CL[:n, left] = -_roots(mean_CZ[:n], try_CZ)
    return bonus_CL


def _expectations(sd_C: np.ndarray, moves_C: np.ndarray, z_Z: np.ndarray) -> np.ndarray:
    """Return matrices (C, Z, Z) that average a function of the next z, linear between the points and 0 beyond them.

    A function that is linear between points is a sum of hats, and a hat a second difference of ramps.
    """
    point_P = np.concatenate([[z_Z[0] - _STEP], z_Z, [z_Z[-1] + _STEP]])
    next_CZ, spread_C11 = sd_C[:-1, None] / sd_C[1:, None] * z_Z, (moves_C / sd_C[1:])[:, None, None]
    ramps_CZP = _above_zero(next_CZ[..., None] - point_P, spread_C11)
    return np.diff(ramps_CZP, 2, axis=-1) / _STEP


def _roots(x_CZ: np.ndarray, rising_CZ: np.ndarray) -> np.ndarray:
    """Return where every rising function is 0, (C,), linear between the points."""
    after_C = (rising_CZ >= 0).argmax(axis=1)
    every_C = np.arange(len(x_CZ))
    (x0, x1), (y0, y1) = ((of[every_C, after_C - 1], of[every_C, after_C]) for of in (x_CZ, rising_CZ))
    return x0 - y0 * (x1 - x0) / (y1 - y0)


def _above_zero(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the expectation of a Gaussian number, or of 0 where that is larger."""
    return mean * ndtr(mean / sd) + sd * np.exp(-((mean / sd) ** 2) / 2) / np.sqrt(2 * np.pi)
