"""Tasks that are an unseen one under another look, against all turns and exchanges of colours."""

import itertools

import numpy as np
import pytest

from tasks.arc.copies import look, without_copies
from tasks.arc.sources import ArcTask
from tests.helpers import assert_named

from .grid_helpers import image


def task(name, demonstrations, tests=()):
    """An ArcTask whose grids are 1x1: a pair is two colours."""
    parts = ([tuple(np.array([[colour]], np.uint8) for colour in pair) for pair in p] for p in (demonstrations, tests))
    return ArcTask(name, *parts)


def test_tasks_that_share_a_name_or_a_pair_with_an_unseen_one_are_not_trained_on():
    unseen = [task("a", [(1, 2), (3, 4)], [(5, 6)]), task("b", [(7, 8)])]
    clean = task("c", [(2, 1), (1, 3), (3, 2)], [(5, 4)])  # the same grids, otherwise paired
    notes = []
    dirty = [
        task("a", [(0, 9)]),
        task("d", [(0, 9), (3, 4)]),
        task("e", [(0, 9), (5, 6)]),
        task("f", [(0, 9)], [(7, 8)]),
        task("g", [(0, 9)], [(5, 6)]),
    ]
    assert without_copies([*dirty[:3], clean, *dirty[3:]], unseen, notes) == [clean]
    (note,) = notes
    assert_named(note, 5, 6)
    assert without_copies([clean], unseen, notes) == [clean] and len(notes) == 1
    assert without_copies(dirty, [], notes) == dirty and len(notes) == 1


def test_grids_of_other_shapes_are_other_grids():
    flat, tall = np.array([[1, 2]], np.uint8), np.array([[1], [2]], np.uint8)
    seen, unseen = ArcTask("a", [(flat, flat)], []), ArcTask("b", [(tall, flat), (flat, tall)], [])
    assert without_copies([seen], [unseen], []) == [seen]


def disguised(pair, which, table):
    """A pair turned and in other colours."""
    return tuple(np.ascontiguousarray(table[image(grid, which)]) for grid in pair)


def random_pair(rng, sides=(3, 6)):
    return tuple(rng.integers(0, 10, rng.integers(*sides, 2)).astype(np.uint8) for _ in range(2))


@pytest.mark.parametrize("seed", range(3))
def test_a_turned_recoloured_pair_has_the_look_of_the_original(seed):
    rng = np.random.default_rng(seed)
    pair = random_pair(rng)
    for which in range(8):
        table = rng.permutation(10).astype(np.uint8)
        assert look(disguised(pair, which, table)) == look(pair)
    assert look(random_pair(rng)) != look(pair)
    assert look(pair[::-1]) != look(pair)  # the way back is another rule


def test_pairs_of_one_look_are_all_those_that_become_each_other():
    """All pairs of 1 x 2 and 2 x 1 grids of three colours, by trying every turn and exchange."""
    grids = [np.array(cells, np.uint8).reshape(shape) for shape in ((1, 2), (2, 1)) for cells in np.ndindex(3, 3)]
    pairs = list(itertools.product(grids, repeat=2))
    tables = [np.array(table, np.uint8) for table in itertools.permutations(range(3))]

    def written(pair):
        return tuple((grid.shape, grid.tobytes()) for grid in pair)

    looks = [look(pair) for pair in pairs]
    for one, its_look in list(zip(pairs, looks, strict=True))[::7]:
        images = {written(disguised(one, which, table)) for which in range(8) for table in tables}
        assert {written(other) for other, found in zip(pairs, looks, strict=True) if found == its_look} == images


@pytest.mark.parametrize("which", range(8))
def test_a_task_with_a_turned_recoloured_pair_of_an_unseen_one_is_not_trained_on(which):
    rng = np.random.default_rng(which)
    unseen = [ArcTask("a", [random_pair(rng) for _ in range(3)], [random_pair(rng)])]
    clean = ArcTask("b", [random_pair(rng) for _ in range(3)], [])
    hidden = disguised(unseen[0].tests[0], which, rng.permutation(10).astype(np.uint8))
    copied = ArcTask("c", [*clean.demonstrations[1:], hidden], [random_pair(rng)])
    notes = []
    assert without_copies([copied, clean], unseen, notes) == [clean]
    assert_named(notes[0], 1, 2, "turned")


def test_small_pairs_count_only_as_they_are():
    """Nearly all tasks of single cells would be copies of each other."""
    unseen = [task("a", [(1, 2)])]
    seen = [task("b", [(2, 1), (3, 4)])]
    assert without_copies(seen, unseen, []) == seen
