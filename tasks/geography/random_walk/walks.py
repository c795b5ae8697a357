"""Random walks over neighbouring cities, many at a time."""

import numpy as np

END = -1  # fills the row of a walk after its last city
_TRIES = 6  # cheap draws before the neighbours that are left are listed
_AT_ONCE = 100_000  # walks in memory at a time, with their neighbours


def random_walks(
    indptr: np.ndarray, indices: np.ndarray, n_walks: int, longest: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw walks that start anywhere and go on to uniformly chosen neighbours not yet visited.

    They end at their target length, or where no such neighbour is left.

    Args:
        indptr, indices: Neighbours of every city as compressed sparse rows (`geo.neighbours.neighbour_lists`).
        n_walks: Number of walks.
        longest: Target lengths, in cities, are uniform in 1…longest.

    Returns:
        Rows of the table of cities, (n_walks, longest) int32, `END` after the last city of each walk.
    """
    blocks = [
        _walk_block(indptr, indices, min(_AT_ONCE, n_walks - begin), longest, rng)
        for begin in range(0, n_walks, _AT_ONCE)
    ]
    return np.concatenate(blocks or [np.zeros((0, longest), np.int32)])


def _walk_block(
    indptr: np.ndarray, indices: np.ndarray, n_walks: int, longest: int, rng: np.random.Generator
) -> np.ndarray:
    n_cities = len(indptr) - 1
    target_N = rng.integers(1, longest + 1, n_walks)
    city_NT = np.full((n_walks, longest), END, dtype=np.int32)
    city_NT[:, 0] = rng.integers(n_cities, size=n_walks)
    walking = np.flatnonzero(target_N > 1)
    for step in range(1, longest):
        chosen = _next_cities(indptr, indices, city_NT[walking, :step], rng)
        walking, chosen = walking[chosen != END], chosen[chosen != END]
        city_NT[walking, step] = chosen
        walking = walking[target_N[walking] > step + 1]
    return city_NT


def _next_cities(
    indptr: np.ndarray, indices: np.ndarray, visited_NT: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose uniformly, for every walk, a neighbour of its last city that was not visited; `END` where there is none.

    Drawing until a draw is new is uniform over what is left; so is drawing from the list of what is left, which costs
    more and is done only for the few walks whose draws all failed.
    """
    here_N = visited_NT[:, -1]
    degree_N = indptr[here_N + 1] - indptr[here_N]
    chosen_N = np.full(len(here_N), END, dtype=np.int32)
    open_rows = np.flatnonzero(degree_N)
    for _ in range(_TRIES):
        drawn = indices[indptr[here_N[open_rows]] + rng.integers(degree_N[open_rows])]
        is_new = (visited_NT[open_rows] != drawn[:, None]).all(axis=1)
        chosen_N[open_rows[is_new]] = drawn[is_new]
        open_rows = open_rows[~is_new]
    if len(open_rows):
        chosen_N[open_rows] = _from_list(indptr, indices, visited_NT[open_rows], rng)
    return chosen_N


def _from_list(indptr: np.ndarray, indices: np.ndarray, visited_NT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose as `_next_cities`, by listing all neighbours of every walk's last city (each has some)."""
    here_N = visited_NT[:, -1]
    degree_N = indptr[here_N + 1] - indptr[here_N]
    first_N = np.cumsum(degree_N) - degree_N
    walk_M = np.repeat(np.arange(len(here_N)), degree_N)
    neighbour_M = indices[np.arange(len(walk_M)) - np.repeat(first_N - indptr[here_N], degree_N)]
    key_M = rng.random(len(walk_M))
    key_M[(visited_NT[walk_M] == neighbour_M[:, None]).any(axis=1)] = -1.0
    best_M = key_M == np.repeat(np.maximum.reduceat(key_M, first_N), degree_N)
    chosen_N = np.full(len(here_N), END, dtype=np.int32)
    kept = best_M & (key_M >= 0)
    chosen_N[walk_M[kept]] = neighbour_M[kept]
    return chosen_N
