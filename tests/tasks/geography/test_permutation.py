"""A random order of which any part can be had alone."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.geography.pairs import n_pairs, pairs_between
from tasks.geography.permutation import draw_key, permuted

SEEDS = st.integers(0, 2**63 - 1)


def key(seed):
    return draw_key(np.random.default_rng(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), SEEDS)
def test_every_number_has_one_place(n, seed):
    assert sorted(permuted(np.arange(n), n, key(seed)).tolist()) == list(range(n))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2**50), SEEDS, st.data())
def test_any_places_of_a_huge_order_have_different_numbers_in_range(n, seed, data):
    places = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=50))
    found = permuted(np.array(places, np.int64), n, key(seed)).tolist()
    assert len(set(found)) == len(places) and all(0 <= number < n for number in found)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 200_000), SEEDS, st.data())
def test_a_part_is_what_it_is_within_the_whole(n, seed, data):
    start = data.draw(st.integers(0, n - 1))
    whole = permuted(np.arange(n), n, key(seed))
    assert permuted(np.arange(start, n), n, key(seed)).tolist() == whole[start:].tolist()


def test_all_orders_of_five_things_are_equally_likely():
    """Of a Feistel network the hardest: the smaller, the more rounds it needs."""
    found = [tuple(permuted(np.arange(5), 5, key(seed)).tolist()) for seed in range(6000)]
    assert stats.chisquare([found.count(order) for order in itertools.permutations(range(5))]).pvalue > 1e-3


def test_neighbours_know_nothing_of_each_other():
    found = permuted(np.arange(40_000), 450_000_000, key(0)) / 450_000_000
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    gaps = np.diff(found) % 1
    assert stats.kstest(gaps, "uniform").pvalue > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 60), SEEDS, st.data())
def test_pairs_are_distinct_wherever_they_are_cut(n, seed, data):
    ends = sorted(data.draw(st.lists(st.integers(0, n_pairs(n)), max_size=3)))
    cuts = list(itertools.pairwise([0, *ends, n_pairs(n)]))
    pieces = [pairs_between(start, stop, n, seed) for start, stop in cuts]
    first, second = (np.concatenate(rows) for rows in zip(*pieces, strict=True))
    whole = pairs_between(0, n_pairs(n), n, seed)
    assert (first.tolist(), second.tolist()) == (whole[0].tolist(), whole[1].tolist())
    assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == n_pairs(n)
