"""Let a world grow: its cities join it one by one, and a row exists as soon as all of its cities do."""

from typing import Any

import numpy as np

from geo.cities import Cities
from tasks.geography.permutation import draw_key, permuted
from tasks.geography.world import stored_cities
from trainers.contract import GrowingWorld, StoredDataset

_CITY_COLUMNS = ("city_id", "city_a", "city_b", "city_c", "city_d", "city_e")
_AT_ONCE = 1_000_000  # rows whose cities are looked up at a time


def order_of_joining(cities: Cities) -> np.ndarray:
    """Return the rows of the table in the order in which the cities join, (n,) int64; it follows from the table alone.

    It is random, so that a world of any size is spread over all continents, and has ids of all lengths.
    """
    key_R = draw_key(np.random.default_rng(int(cities.digest(), 16)))
    return permuted(np.arange(len(cities)), len(cities), key_R)


def growing_world(data: StoredDataset, split: str) -> GrowingWorld:
    """Return the smallest world of every row: that in which its last city has joined."""
    cities = stored_cities(data.path)  # in rising order of their ids
    size_C = np.empty(len(cities), np.int32)
    size_C[order_of_joining(cities)] = np.arange(1, len(cities) + 1)
    table = data.splits[split]
    names = [name for name in _CITY_COLUMNS if name in table.column_names]
    smallest_N, at = np.empty(len(table), np.int32), 0
    batch: Any
    for batch in table.select_columns(names).with_format("arrow").iter(_AT_ONCE):
        ids = [batch[name].fill_null(cities.city_id[0]).to_numpy() for name in names]
        sizes = [
            size_C[np.searchsorted(cities.city_id, of)] * batch[name].is_valid().to_numpy()
            for name, of in zip(names, ids, strict=True)
        ]
        smallest_N[at : at + len(batch)] = np.max(sizes, axis=0)
        at += len(batch)
    return GrowingWorld(len(cities), "cities", smallest_N)
