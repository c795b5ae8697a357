"""Labels of colours against what can be told from a set of demonstrations, by trying all exchanges."""

import itertools
import math

import numpy as np
import pytest
import torch

from tasks.arc.colours import NEW, colour_code
from tasks.arc.grids import N_COLOURS, PAD

from .grid_helpers import shown, written
from .model_helpers import random_grid, tensor_of


def labels_of(asked, pairs):
    """Colour -> label, and the shares of its probability."""
    written_pairs = tensor_of(shown([tuple(map(np.array, pair)) for pair in pairs]), PAD)[None]
    code = colour_code("equivariant", tensor_of([written(asked)], PAD), written_pairs)
    return code.label_BV[0, :N_COLOURS].tolist(), code.share_BV[0, :N_COLOURS].exp().tolist()


def recoloured(grid, table):
    return tuple(tuple(table[cell] for cell in line) for line in np.asarray(grid).tolist())


def exchangeable(asked, pairs):
    """Colour -> what it becomes by exchanges that leave the input, and the demonstrations as a set, as they are."""
    orbits = {colour: {colour} for colour in range(N_COLOURS)}
    free = sorted(
        {cell for pair in pairs for grid in pair for cell in np.ravel(grid).tolist()} - {*np.ravel(asked)} - {0}
    )
    usual = sorted(tuple(recoloured(grid, range(N_COLOURS)) for grid in pair) for pair in pairs)
    for other in itertools.permutations(free):
        table = {**dict(zip(range(N_COLOURS), range(N_COLOURS), strict=True)), **dict(zip(free, other, strict=True))}
        if sorted(tuple(recoloured(grid, table) for grid in pair) for pair in pairs) == usual:
            for colour in free:
                orbits[colour].add(table[colour])
    return orbits


def test_colours_of_the_input_come_first_in_its_order_then_the_ones_in_more_demonstrations_and_cells():
    pairs = [([[7, 7, 7, 7]], [[5, 8]]), ([[2, 4]], [[5, 8, 8]]), ([[0]], [[0]])]
    labels, shares = labels_of([[3, 0, 2], [3, 1, 0]], pairs)
    assert [labels[colour] for colour in (0, 3, 2, 1, 8, 5, 7, 4)] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert labels[6] == labels[9] == NEW
    assert shares == pytest.approx([0.5 if colour in (6, 9) else 1 for colour in range(N_COLOURS)])


def test_colours_of_demonstrations_that_are_equal_but_for_them_share_a_label_unless_something_tells_them_apart():
    pairs = [([[0, 1]], [[1]]), ([[0, 2]], [[2]])]
    labels, shares = labels_of([[3]], pairs)
    assert labels[1] == labels[2] == 2 and shares[1] == shares[2] == pytest.approx(0.5)
    for asked, more in (([[1]], []), ([[3]], [([[2, 2]], [[0]])]), ([[3]], [([[1, 2]], [[0]])])):
        labels, shares = labels_of(asked, [*pairs, *more])
        assert labels[1] != labels[2] and shares[1] == shares[2] == 1


def test_what_tells_colours_apart_may_stand_in_another_demonstration():
    """4 goes with 1 and 5 with 2, and only the third demonstration tells 4 from 5."""
    pairs = [([[1, 4]], [[0]]), ([[2, 5]], [[0]])]
    labels, _ = labels_of([[3]], pairs)
    assert labels[1] == labels[2] and labels[4] == labels[5]
    labels, _ = labels_of([[3]], [*pairs, ([[4, 4, 5]], [[0]])])
    assert labels[1] != labels[2] and labels[4] != labels[5]


@pytest.mark.parametrize("seed", range(4))
def test_colours_share_a_label_if_and_only_if_they_can_be_exchanged(seed):
    rng, n_shared = np.random.default_rng(seed), 0
    for _ in range(60):
        few = [0, *rng.permutation(np.arange(1, N_COLOURS))[:4].tolist()]
        asked = random_grid(rng, few[:2])
        pairs = [tuple(rng.choice(few, (1, width)) for width in (2, 1)) for _ in range(3)]
        exchange = dict(zip(few, [*few[:3], few[4], few[3]], strict=True))
        pairs[1] = tuple(np.array(recoloured(grid, exchange)) for grid in pairs[0])
        labels, _ = labels_of(asked, pairs)
        orbits = exchangeable(asked, pairs)
        for one, two in itertools.combinations(few[1:], 2):
            assert (labels[one] == labels[two] != NEW) == (two in orbits[one])
            n_shared += two in orbits[one]
    assert n_shared > 5


@pytest.mark.parametrize("seed", range(4))
def test_labels_depend_neither_on_the_order_of_demonstrations_nor_on_padding_nor_on_the_names_of_colours(seed):
    rng = np.random.default_rng(seed)
    asked = random_grid(rng)
    pairs = [(random_grid(rng), random_grid(rng)) for _ in range(4)]
    pairs[2] = tuple(np.where(grid == 1, 2, np.where(grid == 2, 1, grid)) for grid in pairs[1])
    ids = tensor_of([written(asked)], PAD)
    context = tensor_of(shown(pairs), PAD)[None]
    expected = colour_code("equivariant", ids, context)
    more = torch.nn.functional.pad(context, (0, 3, 0, 2), value=PAD)
    for other in (context[:, [2, 0, 3, 1]], more):
        found = colour_code("equivariant", ids, other)
        assert torch.equal(found.label_BV, expected.label_BV) and torch.equal(found.share_BV, expected.share_BV)
    table = [0, *(1 + rng.permutation(N_COLOURS - 1)).tolist(), *range(N_COLOURS, 14)]
    found = colour_code("equivariant", *(torch.tensor(table)[part] for part in (ids, context)))
    assert torch.equal(found.label_BV[:, table], expected.label_BV)
    n_sharing = (expected.label_BV[0, :, None] == expected.label_BV[0]).sum(dim=1)
    assert expected.share_BV[0].tolist() == pytest.approx([-math.log(n) for n in n_sharing.tolist()])
