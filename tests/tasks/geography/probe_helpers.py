"""Worlds in which it is known what linear regression must find."""

import numpy as np
from sklearn.metrics.pairwise import haversine_distances

from geo.atlantis import invent_cities, join_cities
from geo.cities import Cities

COUNTRY_OF = {"DE": "Europe", "FR": "Europe", "JP": "Asia", "NG": "Africa", "NA": "Africa", "US": "North America"}


def real_cities(n, seed=0, countries=tuple(COUNTRY_OF)):
    """Cities anywhere on the globe, in countries that have nothing to do with where they are."""
    rng = np.random.default_rng(seed)
    return Cities(
        np.arange(n, dtype=np.int64),
        tuple(f"City {i}" for i in range(n)),
        np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        rng.uniform(-180, 180, n),
        tuple(rng.choice(countries, n).tolist()),
        np.full(n, -1, dtype=np.int64),
    )


def with_atlantis(n_real, n_invented, seed=0):
    return join_cities(real_cities(n_real, seed), invent_cities([(35, -35)], n_invented, first_id=n_real))


def places_deg(cities):
    return np.stack([cities.lat_deg, cities.lon_deg], axis=1)


def vectors_of(deg_N2):
    lat, lon = np.radians(deg_N2).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def dist_km(one_deg, other_deg):
    """Scikit-learn's distance of each place to the one beside it."""
    pairs = zip(np.radians(one_deg), np.radians(other_deg), strict=True)
    return np.array([haversine_distances([a], [b])[0, 0] for a, b in pairs]) * RADIUS_KM


RADIUS_KM = 6371.0


def as_states(features_ND, blocks=1, block=0):
    """States of one token that have the features at one block, and numbers without meaning at all others."""
    states_NLTD = np.random.default_rng(9).normal(size=(len(features_ND), blocks, 1, features_ND.shape[1]))
    states_NLTD[:, block, 0] = features_ND
    return states_NLTD.astype(np.float32)


def linear_world(deg_N2, width=16, seed=5):
    """Unit vectors times a random matrix, plus an offset."""
    rng = np.random.default_rng(seed)
    return vectors_of(deg_N2) @ rng.normal(size=(3, width)) + rng.normal(size=width)
