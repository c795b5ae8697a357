"""Walks against exact enumeration."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from geo.cities import load_cities
from geo.neighbours import neighbour_lists
from tasks.geography.random_walk import walks
from tasks.geography.random_walk.walks import random_walks

from .walk_helpers import as_tuples, exact_probabilities

# City 5 has no neighbours, 4 only one, which most walks have been to; 0 to 3 form a square with one diagonal.
GRAPH = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3, 4], 3: [0, 2], 4: [2], 5: []}


def sparse_rows(graph):
    indptr = np.cumsum([0, *map(len, graph.values())])
    return indptr, np.array([city for neighbours in graph.values() for city in neighbours], dtype=np.int64)


class AlwaysLongest(np.random.Generator):
    """Draws the greatest target length for every walk, so that only a dead end is a reason to stop earlier."""

    longest: int

    def integers(self, low, high=None, size=None, **options):
        if np.ndim(low) == 0 and (low, high) == (1, self.longest + 1):
            return np.full(size, self.longest)
        return super().integers(low, high, size, **options)


@pytest.mark.parametrize("tries", [0, 1, 6])
def test_every_walk_of_a_small_graph_comes_as_often_as_it_should(tries, monkeypatch):
    monkeypatch.setattr(walks, "_TRIES", tries)
    expected = exact_probabilities(GRAPH, longest=5)
    n_walks = 60_000
    counts = Counter(as_tuples(random_walks(*sparse_rows(GRAPH), n_walks, 5, np.random.default_rng(tries))))
    assert set(counts) == set(expected) and min(expected.values()) * n_walks > 20
    found = stats.chisquare([counts[walk] for walk in expected], [p * n_walks for p in expected.values()])
    assert found.pvalue > 1e-3


def test_without_cheap_tries_the_list_is_used_and_with_them_seldom(monkeypatch):
    def rows_listed(tries):
        rows = []

        def spy(indptr, indices, visited_NT, rng):
            rows.append(len(visited_NT))
            return listed(indptr, indices, visited_NT, rng)

        monkeypatch.setattr(walks, "_TRIES", tries)
        monkeypatch.setattr(walks, "_from_list", spy)
        random_walks(*sparse_rows(GRAPH), 1000, 5, np.random.default_rng(0))
        return sum(rows)

    listed = walks._from_list
    assert 0 < 4 * rows_listed(6) < rows_listed(0)


def test_target_lengths_are_uniform_where_nothing_stops_a_walk():
    neighbours = neighbour_lists(load_cities(n_cities=14), 20_015)
    assert set(np.diff(neighbours[0]).tolist()) == {13}
    lengths = [len(walk) for walk in as_tuples(random_walks(*neighbours, 24_000, 12, np.random.default_rng(1)))]
    counts = [lengths.count(n) for n in range(1, 13)]
    assert sum(counts) == 24_000 and stats.chisquare(counts).pvalue > 1e-3


def test_the_step_to_the_last_city_left_is_found():
    neighbours = neighbour_lists(load_cities(n_cities=14), 20_015)
    rng = AlwaysLongest(np.random.PCG64(2))
    rng.longest = 14
    found = as_tuples(random_walks(*neighbours, 2000, 14, rng))
    assert all(sorted(walk) == list(range(14)) for walk in found) and len(set(found)) == 2000


def test_a_walk_ends_before_its_target_only_where_no_unvisited_neighbour_is_left(world, tree_neighbours):
    rng = AlwaysLongest(np.random.PCG64(3))
    rng.longest = 12
    found = as_tuples(random_walks(*neighbour_lists(world, 300), 3000, 12, rng))
    stuck = [tree_neighbours[walk[-1]] <= set(walk) for walk in found]
    early = [len(walk) < 12 for walk in found]
    assert 300 < sum(early) < 2700
    assert all(is_stuck for is_stuck, is_early in zip(stuck, early, strict=True) if is_early)


def test_walks_made_block_by_block_are_as_many_and_as_often(monkeypatch):
    monkeypatch.setattr(walks, "_AT_ONCE", 700)
    expected = exact_probabilities(GRAPH, longest=3)
    city_NT = random_walks(*sparse_rows(GRAPH), 20_300, 3, np.random.default_rng(5))
    counts = Counter(as_tuples(city_NT))
    assert city_NT.shape == (20_300, 3) and set(counts) == set(expected)
    found = stats.chisquare([counts[walk] for walk in expected], [p * 20_300 for p in expected.values()])
    assert found.pvalue > 1e-3


@pytest.mark.parametrize(("n_walks", "longest"), [(0, 1), (0, 7), (1, 1), (500, 1), (3, 50)])
def test_few_walks_short_walks_and_walks_longer_than_the_world(n_walks, longest):
    city_NT = random_walks(*sparse_rows(GRAPH), n_walks, longest, np.random.default_rng(0))
    assert city_NT.shape == (n_walks, longest) and city_NT.dtype == np.int32
    for walk in as_tuples(city_NT):
        assert 1 <= len(walk) <= min(longest, 5) and len(set(walk)) == len(walk)
        assert all(there in GRAPH[here] for here, there in pairwise(walk))
    assert n_walks < 500 or {walk[0] for walk in as_tuples(city_NT)} == set(GRAPH)


def test_walks_from_a_world_without_any_neighbours_end_where_they_start():
    found = as_tuples(random_walks(np.zeros(4, np.int64), np.zeros(0, np.int64), 100, 5, np.random.default_rng(0)))
    assert set(found) == {(0,), (1,), (2,)}
