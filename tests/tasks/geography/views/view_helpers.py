"""A planted world: cities, the model's inputs read back, answers and states that are known."""

import numpy as np

from tests.tasks.geography.probe_helpers import places_deg, real_cities, vectors_of
from tokenization.characters import VOCABULARY, build_tokenizer
from trainers import registry
from trainers.contract import StoredDataset
from trainers.probes.views import Inspected


class Untouched:
    """A model of two blocks that no one may call."""

    class config:
        num_hidden_layers = 2

    name_or_path = "nowhere"


def planted(folder, n, task="distance", first=None):
    """What a view is given, and the cities, spread evenly over the globe."""
    cities = real_cities(n)
    cities.write_csv(folder / "cities.csv")
    build_tokenizer(64, VOCABULARY).save_pretrained(folder / "tokenizer")
    data = StoredDataset(folder, {}, {"task": task, "options": {}})
    return Inspected(registry.load(task), data, Untouched(), first, 7), cities


def unit(cities):
    return vectors_of(places_deg(cities))


def linear_states(cities, width=16, seed=5):
    """Unit vectors in a random, stretched-by-nothing subspace, plus an offset."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(width, 3)))[0].T
    return unit(cities) @ turn + rng.normal(size=width)
