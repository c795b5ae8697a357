"""Sets of cities: numbered as itertools counts them, drawn once each, any part without the rest."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tasks.geography.city_sets import number_of, set_of, sets_between
from tests.helpers import refusal


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sets_are_numbered_as_itertools_counts_them_from_the_highest_member_on(size):
    expected = sorted(tuple(sorted(of, reverse=True)) for of in itertools.combinations(range(9), size))
    assert list(map(tuple, set_of(np.arange(len(expected)), 9, size).tolist())) == expected


def test_the_last_set_of_a_large_world_is_exact():
    n_sets = math.comb(5_075, 5)
    assert set_of(np.array([n_sets - 1]), 5_075, 5).tolist() == [[5074, 5073, 5072, 5071, 5070]]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_set_has_its_number_in_any_order(size):
    numbers = np.random.default_rng(0).integers(math.comb(900, size), size=200)
    assert np.array_equal(number_of(np.fliplr(set_of(numbers, 900, size)), 900), numbers)


def test_every_set_is_drawn_once():
    sets = np.sort(sets_between(0, math.comb(12, 4), 12, 4, seed=1), axis=1)
    assert sorted(map(tuple, sets.tolist())) == sorted(itertools.combinations(range(12), 4))


def test_any_part_is_that_of_the_whole():
    whole = sets_between(0, 1_000, 50, 3, seed=7)
    assert np.array_equal(sets_between(313, 700, 50, 3, seed=7), whole[313:700])
    assert not np.array_equal(sets_between(0, 1_000, 50, 3, seed=8), whole)


def test_members_and_their_order_are_uniform():
    sets = sets_between(0, 20_000, 40, 3, seed=3)
    for column in sets.T:
        assert stats.chisquare(np.bincount(column, minlength=40)).pvalue > 1e-4
    orders = (sets.argsort(axis=1) @ np.array([9, 3, 1])).tolist()
    assert stats.chisquare([orders.count(order) for order in set(orders)]).pvalue > 1e-4 and len(set(orders)) == 6


def test_too_many_sets_are_refused():
    with refusal("100,000 cities", "--n_cities"):
        sets_between(0, 10, 100_000, 5, seed=1)
