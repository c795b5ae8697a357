"""How a city is moved in a model's mind: the states that it would have elsewhere. All in NumPy; D is the width.

Decoder direction: a linear probe from states to unit vectors is fitted, and the shortest change of a state that moves
the decoded place to the target is added (N. Nanda et al. 2023, "Emergent Linear Representations in World Models of
Self-Supervised Sequence Models"). Encoder direction: states are regressed on the place, and what the regression says
of the target less what it says of the city's own place is added; the rest of the state stays the city's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.geography.linear_maps import ALPHAS
from trainers.common.intervals import RESAMPLING_SEED

KINDS = ("swap", "encoder", "linear", "probe", "random", "shuffled")
"""Of edits: the state of the city at the target; encoder direction, and the same of degree 1; decoder direction;
a random direction, as long as the encoder's; an encoder fitted to shuffled places."""
DEGREES = (1, 2, 4, 6, 8, 10, 12)
"""Of spherical harmonics, among which the encoder chooses."""

Encode = Callable[[np.ndarray], np.ndarray]
"""Places (n, 3) -> states (n, D)."""


@dataclass(frozen=True)
class PlaceProbe:
    """Linear probe: place = weights · state + offset."""

    weights_3D: np.ndarray
    offset_3: np.ndarray

    def decode(self, states_ND: np.ndarray) -> np.ndarray:
        """Return the decoded places, (n, 3), not of length 1."""
        return states_ND @ self.weights_3D.T + self.offset_3

    def move(self, states_ND: np.ndarray, target_N3: np.ndarray) -> np.ndarray:
        """Return the nearest states of which the target is decoded."""
        return states_ND + (target_N3 - self.decode(states_ND)) @ np.linalg.pinv(self.weights_3D).T


def fit_probe(states_ND: np.ndarray, place_N3: np.ndarray) -> PlaceProbe:
    """Fit ridge regression from states to places, alpha by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    mean_D = states_ND.mean(axis=0)
    scale = (states_ND - mean_D).std() or 1.0
    ridge: Any = RidgeCV(ALPHAS).fit((states_ND - mean_D) / scale, place_N3)
    weights_3D = ridge.coef_ / scale
    return PlaceProbe(weights_3D, ridge.intercept_ - weights_3D @ mean_D)


def fit_encoder(states_ND: np.ndarray, place_N3: np.ndarray, degrees: Sequence[int] = DEGREES) -> tuple[Encode, int]:
    """Fit ridge regression from spherical harmonics of places to states; alpha and degree by leave-one-out.

    Returns:
        The regression, and its degree.
    """
    from sklearn.linear_model import RidgeCV

    fitted: dict[int, Any] = {}
    for degree in degrees:
        features_NF = harmonics(place_N3, degree)
        if fitted and features_NF.shape[1] > len(place_N3) / 2:
            break
        fitted[degree] = RidgeCV(ALPHAS).fit(features_NF, states_ND)
    best = max(fitted, key=lambda degree: fitted[degree].best_score_)
    return lambda places: fitted[best].predict(harmonics(places, best)), best


def harmonics(place_N3: np.ndarray, degree: int) -> np.ndarray:
    """Return the real spherical harmonics of degrees 1…degree at places, (n, degree * (degree + 2)).

    The place need not have length 1; its direction counts.
    """
    from scipy.special import sph_harm_y

    x, y, z = place_N3.T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    columns = []
    for n in range(1, degree + 1):
        values = [sph_harm_y(n, m, polar, azimuth) for m in range(n + 1)]
        columns += [values[0].real, *(np.sqrt(2) * part for v in values[1:] for part in (v.real, v.imag))]
    return np.stack(columns, axis=1)


def random_moves(states_ND: np.ndarray, like_ND: np.ndarray, own_N3: np.ndarray) -> np.ndarray:
    """Return states moved as far as those of `like_ND` are, in a random direction for each place of `own_N3`."""
    _, city_N = np.unique(own_N3, axis=0, return_inverse=True)
    direction_ND = np.random.default_rng(RESAMPLING_SEED).normal(size=(city_N.max() + 1, states_ND.shape[1]))[city_N]
    length_N1 = np.linalg.norm(like_ND - states_ND, axis=1, keepdims=True)
    return states_ND + direction_ND / np.linalg.norm(direction_ND, axis=1, keepdims=True) * length_N1


def along_sphere(own_N3: np.ndarray, target_N3: np.ndarray, share: float) -> np.ndarray:
    """Return the places at a share of the great circle from one place to the other, (n, 3).

    Source: K. Shoemake 1985, "Animating Rotation with Quaternion Curves" (slerp).
    """
    angle_N1 = np.arccos(np.clip((own_N3 * target_N3).sum(axis=1, keepdims=True), -1, 1))
    return (np.sin((1 - share) * angle_N1) * own_N3 + np.sin(share * angle_N1) * target_N3) / np.sin(angle_N1)


@dataclass(frozen=True)
class Fitted:
    """What was fitted to the states of one token at one block, of cities that are not moved."""

    probe: PlaceProbe
    encoder: Encode
    degree: int
    linear: Encode
    shuffled: Encode


def fit_site(states_ND: np.ndarray, place_N3: np.ndarray, seed: int) -> Fitted:
    """Fit everything; `shuffled` is the encoder fitted to places that belong to other cities."""
    encoder, degree = fit_encoder(states_ND, place_N3)
    other_N3 = place_N3[np.random.default_rng(seed).permutation(len(place_N3))]
    return Fitted(
        probe=fit_probe(states_ND, place_N3),
        encoder=encoder,
        degree=degree,
        linear=fit_encoder(states_ND, place_N3, [1])[0],
        shuffled=fit_encoder(states_ND, other_N3, [degree])[0],
    )


def edited_states(
    kind: str, fitted: Fitted, own_ND: np.ndarray, donor_ND: np.ndarray, own_N3: np.ndarray, target_N3: np.ndarray
) -> np.ndarray:
    """Return the states of cities that are moved to targets, (N, D).

    Args:
        kind: One of `KINDS`. donor_ND: The states of the cities that are at the targets.
    """
    if kind == "swap":
        return donor_ND
    if kind == "probe":
        return fitted.probe.move(own_ND, target_N3)
    encode: Encode = getattr(fitted, "encoder" if kind == "random" else kind)
    moved_ND = own_ND + encode(target_N3) - encode(own_N3)
    return random_moves(own_ND, moved_ND, own_N3) if kind == "random" else moved_ND
