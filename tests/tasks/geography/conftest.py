"""The probe of cities in any world, and a world to walk in."""

import numpy as np
import pytest
from sklearn.neighbors import BallTree

from geo.cities import load_cities
from tasks.geography.city_probe import CityProbe, CityProbeOptions
from trainers import registry
from trainers.contract import StoredDataset


@pytest.fixture
def probe_of(tmp_path):
    def made(cities, n_blocks=6, task="distance", asked=None, **options):
        cities.write_csv(tmp_path / "cities.csv")
        data = StoredDataset(tmp_path, {}, {"task": task, "options": asked or {}})
        return CityProbe(CityProbeOptions(**options), registry.load(task), data, n_blocks)

    return made


@pytest.fixture(scope="session")
def world():
    return load_cities(n_cities=1000)


@pytest.fixture(scope="session")
def tree_neighbours(world):
    """For every city of the real world its neighbours within 300 km, by scikit-learn; ids are rows here."""
    places = np.radians([world.lat_deg, world.lon_deg]).T
    found = BallTree(places, metric="haversine").query_radius(places, 300 / 6371)
    return [set(rows.tolist()) - {i} for i, rows in enumerate(found)]
