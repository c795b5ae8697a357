"""Cities join a growing world in a random order of their own, and a row exists as soon as all of its cities do."""

import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from geo.cities import load_cities
from tasks.geography.growing import growing_world, order_of_joining
from tests.helpers import printed_elsewhere
from trainers import registry
from trainers.folders import dataset_folder


def test_the_order_is_of_all_cities_random_and_the_worlds_own(world):
    order = order_of_joining(world)
    assert sorted(order.tolist()) == list(range(len(world)))
    again = "from geo.cities import load_cities; from tasks.geography.growing import order_of_joining as o;"
    assert printed_elsewhere(f"{again} print(o(load_cities(n_cities=1000)).tolist())").strip() == str(order.tolist())
    assert order_of_joining(load_cities(n_cities=1000, seed=7)).tolist() != order.tolist()
    # The first half is a sample like any other: its places and ids are spread as those of all.
    first = order[:500]
    for values in (world.lat_deg, world.lon_deg, world.city_id, world.population):
        found: Any = stats.ks_2samp(values[first], values[order[500:]])
        assert found.pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("distance", {}),
        ("location", {}),
        ("location", {"n_cities": 50, "n_train": 30}),
        ("atlantis_cross", {}),
        ("atlantis_inter", {}),
    ],
)
def test_a_row_is_as_late_as_its_last_city(name, options, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.geography.growing._AT_ONCE", 7)
    task = registry.load(name)
    data = dataset_folder.build_or_load(task, task.options(**{**task.small, **options}), tmp_path)
    cities = load_cities(data.path / "cities.csv", min_population=0)
    joining = cities.city_id[order_of_joining(cities)].tolist()
    for split, rows in data.splits.items():
        world = growing_world(data, split)
        asked = [[int(city) for city in re.findall(r"c_(\d+)", prompt)] for prompt in rows["prompt"]]
        assert world.smallest_N.tolist() == [1 + max(map(joining.index, row)) for row in asked]
        assert world.smallest_N.dtype == np.int32 and world.size == len(cities) and world.things == "cities"
