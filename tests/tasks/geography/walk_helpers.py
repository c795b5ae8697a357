"""Worlds to walk in, and walks as they are written."""

from collections import Counter

import pytest
from pyproj import Geod

from tasks.geography.random_walk.walks import END

SPHERE = Geod(a=6_371_000, b=6_371_000)

REAL = {"n_cities": 1000, "radius_km": 300, "longest_walk": 16, "n_train": 2000, "n_val": 50, "n_test": 150}

DENSE = {"n_cities": 60, "radius_km": 3000, "longest_walk": 3, "n_train": 1500, "n_val": 30, "n_test": 50}


def as_tuples(city_NT):
    """Walks without their filling; there is nothing after the end."""
    found = [tuple(row[row != END].tolist()) for row in city_NT]
    assert all((row[len(walk) :] == END).all() for row, walk in zip(city_NT, found, strict=True))
    return found


def written(rows):
    """The walks of a split, read from its texts without the project's own reader."""
    assert all(prompt.startswith("srd_") for prompt in rows["prompt"])
    texts = [p.split("=")[1] + a for p, a in zip(rows["prompt"], rows["answer"], strict=True)]
    return [tuple(int(city.removeprefix("c_")) for city in text.split(",")) for text in texts]


def exact_probabilities(graph, longest):
    """The probability of every walk, by following all of them."""
    found: Counter = Counter()

    def follow(walk, probability, target):
        left = [city for city in graph[walk[-1]] if city not in walk]
        if len(walk) == target or not left:
            found[walk] += probability
            return
        for city in left:
            follow((*walk, city), probability / len(left), target)

    for start in graph:
        for target in range(1, longest + 1):
            follow((start,), 1 / len(graph) / longest, target)
    assert sum(found.values()) == pytest.approx(1)
    return found
