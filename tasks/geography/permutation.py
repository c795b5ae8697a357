"""A random order of 0…n-1, any part of which can be had without the others: a number follows from a key and its place.

A generalised Feistel network: a place is two digits, and every round adds to one a pseudorandom function of the other,
which can be undone, so that no two places get the same number. Source: J. Black, P. Rogaway, "Ciphers with Arbitrary
Finite Domains", 2002, sections 4 and 5.
"""

import math

import numpy as np

ROUNDS = 16  # 12 leave orders of five things visibly unequally likely in 10,000 keys
_BLOCK = 2**15  # places whose intermediate numbers fit into the cache
_HALF = np.uint64(32)


def draw_key(rng: np.random.Generator) -> np.ndarray:
    """Draw the key of an order, a number for every round, (R,) uint64."""
    return rng.integers(2**64, size=ROUNDS, dtype=np.uint64)


def permuted(place: np.ndarray, n_possible: int, key_R: np.ndarray) -> np.ndarray:
    """Return the number at each place of the order of 0…n_possible-1 that belongs to a key, (n,) int64.

    Args:
        place: Whole numbers in 0…n_possible-1, (n,).
        n_possible: At most 2**50.
        key_R: From `draw_key`.
    """
    blocks = [_permuted(place[at : at + _BLOCK], n_possible, key_R) for at in range(0, len(place), _BLOCK)]
    return np.concatenate([np.zeros(0, np.int64), *blocks])


def _permuted(place: np.ndarray, n_possible: int, key_R: np.ndarray) -> np.ndarray:
    high = math.isqrt(n_possible - 1) + 1  # values of the first digit; n_possible ≤ high * low < n_possible + high
    low = -(-n_possible // high)
    number = _enciphered(place.astype(np.uint64), high, low, key_R)
    while len(outside := np.flatnonzero(number >= n_possible)):  # going on from there leads back inside, to a free one
        number[outside] = _enciphered(number[outside], high, low, key_R)
    return number.astype(np.int64)


def _enciphered(number: np.ndarray, high: int, low: int, key_R: np.ndarray) -> np.ndarray:
    """Permute 0…high*low-1."""
    one, other = np.divmod(number, np.uint64(low))
    size, other_size = np.uint64(high), np.uint64(low)
    for key in key_R:
        one += ((_hashed(other + key) >> _HALF) * size) >> _HALF  # less than `size`
        one -= size * (one >= size)
        one, other, size, other_size = other, one, other_size, size
    return one * np.uint64(low) + other  # the number of rounds is even


def _hashed(number: np.ndarray) -> np.ndarray:
    """Return pseudorandom uint64 for uint64: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
