"""Draw the sets of cities that a question is asked about: those with an answer, in the shares that it asks for."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from geo.cities import Cities
from tasks.geography.city_sets import number_of, sets_between
from tasks.geography.pairs import check_enough

AT_ONCE = 50_000  # sets that are judged or written at a time, so that what is computed fits into the cache


@dataclass(frozen=True)
class Question:
    """What is asked about some cities, and the true answer."""

    prompts: Mapping[int, str]
    """Number of cities -> prompt, with `{}` for the number of each city. Every one gets equally many rows."""
    answer: Callable[[Any, np.ndarray], np.ndarray]
    """(`sphere_shapes` or `plane_shapes`, points (N, K, D)) -> (N,) numbers, later rounded, or indices of `choices`."""
    choices: tuple[str, ...] = ()
    """The texts of the answers, unless they are numbers or cities."""
    trivial: tuple[int, ...] = ()
    """If answers are cities of the set, `answer` gives their places in it, (N, A); these are the trivial answer's."""
    balanced: bool = False
    """Whether every choice gets equally many rows."""
    usable: Callable[[Any, np.ndarray], np.ndarray] | None = None
    """(shapes, points (N, K, D)) -> (N,) bool: which sets have an answer; none has if two of its places are one."""
    failure: Callable[[Any], float] = lambda shapes: 0.0
    """(shapes) -> the error of an answer that is no number."""

    @property
    def groups(self) -> int:
        """Number of groups of rows that are of equal size."""
        return len(self.choices) if self.balanced else 1


@dataclass(frozen=True)
class World:
    """Cities, the first `n_real` of them real, and the geometry of their places."""

    cities: Cities
    n_real: int
    shapes: Any
    points_CD: np.ndarray

    def is_about(self, sets: np.ndarray, invented: bool) -> np.ndarray:
        """Return whether sets are about an invented city, or about real ones alone, (N,); with none, all are."""
        return (sets >= self.n_real).any(axis=1) == (invented and self.n_real < len(self.cities))


def share_of(count: int, at: int, of: int) -> int:
    """Return how much of `count` part `at` of equal parts gets: the first ones one more where it does not divide."""
    return count // of + (at < count % of)


def draw(
    world: World, question: Question, size: int, wanted: Mapping[str, int], seed: int, invented: bool = True
) -> dict[str, np.ndarray]:
    """Draw the sets of one size for every split, rows of the table of cities, (N, K) int64."""
    groups = question.groups
    counts = {name: [share_of(rows, group, groups) for group in range(groups)] for name, rows in wanted.items()}
    needed = np.sum([*counts.values()], axis=0)
    sets = (of[world.is_about(of, invented)] for of in _candidates(np.arange(len(world.cities)), size, seed))
    pools = _pools(world, question, size, sets, needed)
    for of, pool in enumerate(pools):
        what = f"rows about {size} of {len(world.cities):,} cities"
        check_enough(needed[of], len(pool), f"{what} with the answer {question.choices[of]}" if groups > 1 else what)
    return _cut(pools, counts)


def draw_dense(
    world: World, question: Question, cities: np.ndarray, others: np.ndarray, most: int, seed: int
) -> np.ndarray:
    """Draw further sets of some cities alone: `most`, or as many as there are.

    Args:
        cities: Rows of the table. others: The sets that are drawn already, (N, K).
    """
    n, size, groups = len(world.cities), others.shape[1], question.groups
    taken = number_of(others, n)
    sets = (of[~np.isin(number_of(of, n), taken)] for of in _candidates(cities, size, seed))
    needed = np.array([share_of(most, group, groups) for group in range(groups)])
    pools = _pools(world, question, size, sets, needed)
    fewest = min(map(len, pools))
    return np.concatenate([pool[: min(count, fewest)] for pool, count in zip(pools, needed, strict=True)])


def _candidates(cities: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """Give all sets of some cities, part by part, in random order."""
    for start in range(0, n_sets := math.comb(len(cities), size), AT_ONCE):
        yield cities[sets_between(start, min(start + AT_ONCE, n_sets), len(cities), size, seed)]


def _pools(
    world: World, question: Question, size: int, sets: Iterator[np.ndarray], needed: np.ndarray
) -> list[np.ndarray]:
    """Return the first sets that have an answer, by answer where these are balanced, until all are enough."""
    pools = [[np.empty((0, size), np.int64)] for _ in needed]
    have = np.zeros(len(needed), int)
    for of in sets:
        places = world.points_CD[of]
        fit = _apart(world.shapes, places)
        fit &= True if question.usable is None else question.usable(world.shapes, places)
        group = question.answer(world.shapes, places) if question.balanced else np.zeros(len(of), int)
        for number, pool in enumerate(pools):
            pool.append(of[fit & (group == number)])
            have[number] += len(pool[-1])
        if (have >= needed).all():
            break
    return [np.concatenate(pool) for pool in pools]


def _apart(shapes: Any, places: np.ndarray) -> np.ndarray:
    """Return whether no two places of a set are one, (N,) bool."""
    pairs = combinations(range(places.shape[1]), 2)
    return np.all([shapes.distance(places[:, i], places[:, j]) >= shapes.LEAST_DISTANCE for i, j in pairs], axis=0)


def _cut(pools: list[np.ndarray], counts: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Cut each pool into its pieces for the splits, one behind the other, and put those of a split together."""
    pieces = [np.split(pool, np.cumsum([of[number] for of in counts.values()])) for number, pool in enumerate(pools)]
    return {name: np.concatenate([of[at] for of in pieces]) for at, name in enumerate(counts)}
