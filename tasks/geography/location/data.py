"""The dataset of `location`: one row per city, prompt `loc(c_12)=`, answer `1379,1958`."""

from collections.abc import Mapping

import numpy as np
from datasets import Dataset

from geo.cities import Cities
from geo.coordinates import decode, encode, format_xy
from geo.sphere import great_circle_km, mean_centre
from tasks.geography.location import LocationOptions
from tasks.geography.world import finish, load_world
from trainers.contract import BuiltDataset
from trainers.errors import UserError


def build(options: LocationOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows.

    Raises:
        UserError: More cities are asked for than there are, or the world cannot be loaded.
    """
    cities = load_world(options)
    train, evaluated = _choose(options, len(cities))
    rows = _rows(cities)
    splits = {name: rows.select(chosen) for name, chosen in {"train": train, **evaluated}.items()}
    return finish(cities, options.dataset_seed, splits, lambda name: _centre_baseline(cities, train, evaluated[name]))


def _rows(cities: Cities) -> Dataset:
    x, y = encode(cities.lat_deg, cities.lon_deg)
    prompts = [f"loc(c_{city_id})=" for city_id in cities.city_id.tolist()]
    return Dataset.from_dict({"prompt": prompts, "answer": format_xy(x, y), "city_id": cities.city_id})


def _choose(options: LocationOptions, n_cities: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return the rows of train, and those of the split that is evaluated, `memorisation` if it lies inside train."""
    n_train, n_val = options.n_train, options.n_val
    if options.all and n_train is not None:
        raise UserError(f"--all and --n_train {n_train} contradict each other; use one of the two")
    n_train = n_cities if n_train is None else n_train
    if n_train > n_cities:
        raise UserError(f"--n_train is {n_train}, but the world has {n_cities} cities; ask for at most {n_cities}")
    order = np.random.default_rng(options.dataset_seed).permutation(n_cities)
    train, held_out = order[:n_train], order[n_train:]
    if n_train == n_cities:
        if n_val is not None and n_val > n_train:
            raise UserError(f"--n_val is {n_val}, but the world has {n_cities} cities; ask for at most {n_cities}")
        return train, {"memorisation": np.sort(train[:n_val])}
    if n_val is not None and n_val > len(held_out):
        raise UserError(
            f"--n_val is {n_val}, but --n_train {n_train} leaves only {len(held_out)} of {n_cities} cities"
            " to hold out; ask for fewer, or leave out --n_train to evaluate memorisation"
        )
    return train, {"validation": np.sort(held_out[:n_val])}


def _centre_baseline(cities: Cities, train: np.ndarray, evaluated: np.ndarray) -> dict[str, float]:
    """Score the trivial answer, the centre of the training cities."""
    cell_lat_deg, cell_lon_deg = decode(*encode(cities.lat_deg, cities.lon_deg))
    centre_deg = mean_centre(cell_lat_deg[train], cell_lon_deg[train])
    dist_km = great_circle_km(*centre_deg, cell_lat_deg[evaluated], cell_lon_deg[evaluated])
    return {
        "haversine_km_mean": float(dist_km.mean()),
        "haversine_km_median": float(np.median(dist_km)),
        "within_100km": float((dist_km <= 100).mean()),
    }
