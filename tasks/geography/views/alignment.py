"""Do two representations hold the same things alike? Mutual nearest neighbours and debiased linear CKA, with nulls."""

import numpy as np


def neighbours_of(states_ND: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest neighbours of every row by the angle between them, (n, k), itself not among them."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(states_ND)
    return search.kneighbors(return_distance=False)


def mutual_neighbours(one_NK: np.ndarray, other_NK: np.ndarray) -> np.ndarray:
    """Return which share of every thing's k neighbours is the same in both representations, (n,).

    By chance it is k / (n - 1).

    Source: M. Huh et al., "The Platonic Representation Hypothesis", 2024, section 2 and appendix A: mutual k-NN.
    """
    is_neighbour_NN = np.zeros((len(one_NK), len(one_NK)), dtype=bool)
    np.put_along_axis(is_neighbour_NN, one_NK, True, axis=1)
    return np.take_along_axis(is_neighbour_NN, other_NK, axis=1).mean(axis=1)


def permuted_neighbours(neighbours_NK: np.ndarray, order_N: np.ndarray) -> np.ndarray:
    """Return the neighbours after thing i has become thing `order_N[i]`, (n, k)."""
    renamed_NK = np.empty_like(neighbours_NK)
    renamed_NK[order_N] = order_N[neighbours_NK]
    return renamed_NK


def debiased_cka(x_ND: np.ndarray, y_NE: np.ndarray) -> float:
    """Return linear CKA from unbiased estimates of HSIC: about 0 for representations that have nothing in common.

    The usual estimate goes to 1 where there are many features and few things. n ≥ 4; time and memory grow with n alone.

    Source: A. Murphy et al., "Correcting Biased Centered Kernel Alignment Measures in Biological and Artificial Neural
    Networks", 2024, eq. 3; the estimate of HSIC: L. Song et al., "Feature Selection via Dependence Maximization",
    JMLR 13, 2012, theorem 2.
    """
    x_ND, y_NE = (np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (x_ND, y_NE))
    own = _unbiased_hsic(x_ND, x_ND) * _unbiased_hsic(y_NE, y_NE)
    return float(_unbiased_hsic(x_ND, y_NE) / np.sqrt(own)) if own > 0 else 0.0


def beyond_digits(city_id_N: np.ndarray) -> np.ndarray:
    """Return a basis (n, r) of what is no sum of functions of at most two digits of a city's number and their places.

    Numbers that share digits make states alike in any model, trained or not. `basis.T @ states` is what is left of
    them; places of the world, which have nothing to do with digits, keep r / n of their variance.
    """
    from scipy.linalg import null_space

    digits = np.char.ljust(city_id_N.astype(str), np.char.str_len(city_id_N.astype(str)).max())
    digit_NP = digits.view("U1").reshape(len(city_id_N), -1)
    factors = [np.ones((len(city_id_N), 1))]
    for one in range(digit_NP.shape[1]):
        for other in range(one + 1):
            pair_N = np.char.add(digit_NP[:, one], digit_NP[:, other])
            factors.append((pair_N[:, None] == np.unique(pair_N)).astype(float))
    return null_space(np.hstack(factors).T, rcond=1e-9)


def _unbiased_hsic(x_ND: np.ndarray, y_NE: np.ndarray) -> float:
    """Return n (n - 3) times the estimate for linear kernels, without the matrices of n by n."""
    n = len(x_ND)
    x_own_N, y_own_N = (x_ND**2).sum(axis=1), (y_NE**2).sum(axis=1)  # the diagonals, which do not count
    x_sums_N = x_ND @ x_ND.sum(axis=0) - x_own_N
    y_sums_N = y_NE @ y_NE.sum(axis=0) - y_own_N
    both = ((x_ND.T @ y_NE) ** 2).sum() - x_own_N @ y_own_N
    return float(both + x_sums_N.sum() * y_sums_N.sum() / ((n - 1) * (n - 2)) - 2 * (x_sums_N @ y_sums_N) / (n - 2))
