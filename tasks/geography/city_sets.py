"""Draw different sets of a few cities: any part of a random order of all sets, without the rest of it.

A set has a number, its rank among all of its size (combinatorial number system); a keyed order of the numbers (see
`permutation`) makes the drawing random, exact and free of repetitions.
"""

import math

import numpy as np

from tasks.geography.permutation import draw_key, permuted
from trainers.errors import UserError

_MOST = 2**62  # numbers of sets are int64


def sets_between(start: int, stop: int, n: int, size: int, seed: int) -> np.ndarray:
    """Return the sets at the places start…stop-1 of a random order of all sets of `size` of n things.

    Returns:
        (stop - start, size) int64, in 0…n-1; the things of each set in random order.

    Raises:
        UserError: There are too many sets to number them.
    """
    if (n_possible := math.comb(n, size)) > _MOST:
        raise UserError(
            f"{n:,} cities make more than {_MOST:.0e} sets of {size}, which cannot be numbered; give a smaller world"
            " (--n_cities)"
        )
    draw_rng, order_rng = np.random.default_rng([seed, size]).spawn(2)
    number = permuted(np.arange(start, stop), n_possible, draw_key(draw_rng))
    order_rng.bit_generator.advance(start * size)  # pyright: ignore[reportAttributeAccessIssue]  # `size` numbers a set
    order = order_rng.random((stop - start, size)).argsort(axis=1)
    return np.take_along_axis(set_of(number, n, size), order, axis=1)


def set_of(number: np.ndarray, n: int, size: int) -> np.ndarray:
    """Return the set of each number in 0…C(n, size)-1, falling from left to right, (N, size) int64.

    The number of c₁ > c₂ > … is C(c₁, size) + C(c₂, size - 1) + ….
    Source: D. E. Knuth, "The Art of Computer Programming", 4A, section 7.2.1.3, theorem L.
    """
    rest, members = number.copy(), np.empty((len(number), size), np.int64)
    for at, left in enumerate(range(size, 0, -1)):
        sets_below = np.array([math.comb(c, left) for c in range(n)], np.int64)
        members[:, at] = np.searchsorted(sets_below, rest, side="right") - 1
        rest -= sets_below[members[:, at]]
    return members


def number_of(sets: np.ndarray, n: int) -> np.ndarray:
    """Return the number of each set, whatever the order of its things, (N,) int64: the inverse of `set_of`."""
    falling, size = -np.sort(-sets, axis=1), sets.shape[1]
    sets_below = np.array([[math.comb(c, size - at) for c in range(n)] for at in range(size)], np.int64)
    return sum((of[member] for of, member in zip(sets_below, falling.T, strict=True)), np.zeros(len(sets), np.int64))
