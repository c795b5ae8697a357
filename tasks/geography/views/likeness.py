"""Compare the representations of several models, each to each, on the things that all of them have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np

from tasks.geography.views.alignment import debiased_cka, mutual_neighbours, neighbours_of, permuted_neighbours
from tasks.geography.views.resampling import jackknife
from trainers.common.intervals import interval_of_mean
from trainers.errors import UserError

MEASURES = {"mutual_neighbours": "mutual k-NN", "cka": "debiased linear CKA"}
_NULLS = 20  # orders of the null of neighbours and CKA at most: each costs as much as the value itself


@dataclass(frozen=True)
class Represented:
    """The states of cities in one model."""

    city_id: np.ndarray
    states_ND: np.ndarray


def compare_all(known: Mapping[str, Represented], k: int, permutations: int, seed: int) -> list[dict[str, Any]]:
    """Return a row for every pair of representations and measure: value, interval, null, n.

    Args:
        k: Number of neighbours.
        permutations: Orders of the cities, of which at most 20 make up the null here.

    Raises:
        UserError: they have too few cities in common.
    """
    shared = reduce(np.intersect1d, (one.city_id for one in known.values()))
    if len(shared) < 2 * k + 2:
        raise UserError(
            f"--neighbours is {k}, but the runs have only {len(shared)} cities in common; give fewer neighbours,"
            f" at most {max(0, (len(shared) - 2) // 2)}, or runs on larger worlds"
        )
    states = {name: one.states_ND[_rows(one.city_id, shared)] for name, one in known.items()}
    neighbours = {name: neighbours_of(one, k) for name, one in states.items()}
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(shared)) for _ in range(min(permutations, _NULLS))]
    rows = []
    for one, other in combinations(known, 2):
        pair = {"one": one, "other": other, "n": len(shared)}
        rows.append(
            {"measure": "mutual_neighbours", **pair, **_neighbours_row(neighbours[one], neighbours[other], orders)}
        )
        rows.append({"measure": "cka", **pair, **_cka_row(states[one], states[other], orders)})
    return rows


def matrices_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the title of each measure -> its values as a symmetric matrix, 1 on the diagonal."""
    place = {name: at for at, name in enumerate(names)}
    found = {title: np.eye(len(names)) for title in MEASURES.values()}
    for row in rows:
        i, j = place[row["one"]], place[row["other"]]
        found[MEASURES[row["measure"]]][[i, j], [j, i]] = row["value"]
    return found


def _neighbours_row(one_NK: np.ndarray, other_NK: np.ndarray, orders: list[np.ndarray]) -> dict[str, float]:
    shared_N = mutual_neighbours(one_NK, other_NK)
    permuted = [mutual_neighbours(one_NK, permuted_neighbours(other_NK, order)).mean() for order in orders]
    return _row(float(shared_N.mean()), interval_of_mean(shared_N), permuted)


def _cka_row(one_ND: np.ndarray, other_NE: np.ndarray, orders: list[np.ndarray]) -> dict[str, float]:
    interval = jackknife(lambda rows: debiased_cka(one_ND[rows], other_NE[rows]), len(one_ND))
    permuted = [debiased_cka(one_ND, other_NE[order]) for order in orders]
    return _row(debiased_cka(one_ND, other_NE), interval, permuted)


def _row(value: float, interval: tuple[float, float] | None, permuted: Sequence[float]) -> dict[str, float]:
    low, high = interval or (np.nan, np.nan)
    null = {"permuted": float(np.mean(permuted)), "permuted_most": float(np.max(permuted))}
    return {"value": value, "from": low, "to": high, **null}


def _rows(city_id: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(city_id)
    return order[np.searchsorted(city_id, wanted, sorter=order)]
