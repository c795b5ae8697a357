"""Tokens, symmetries and colours of grids: tensors against numpy and Python lists."""

from itertools import chain, product

import numpy as np
import pytest
import torch
from scipy import stats

from tasks.arc.grids import (
    BOS,
    EOS,
    N_COLOURS,
    N_DIHEDRAL,
    PAD,
    ROW,
    VOCABULARY_SIZE,
    apply_dihedral,
    colours_in_order,
    column_of,
    concatenate,
    read_grid,
    recolour,
    tokens,
)

from .grid_helpers import equal, image, pack, padded, random_grids, some_grids, written

# --- tokens


def test_grids_of_every_shape_are_written_row_by_row_and_read_back():
    shapes = [*product(range(1, 31), (1, 2, 13, 30)), *product((1, 2, 13, 30), range(1, 31))]
    grids = random_grids(0, shapes)
    packed = pack(grids, 30)
    ids, length = tokens(packed), packed.length_B
    assert ids.dtype == torch.uint8
    assert ids.tolist() == padded([written(grid) for grid in grids])
    assert length.tolist() == [len(written(grid)) for grid in grids]
    answers, _ = concatenate([(ids, length), column_of(EOS, len(grids))])
    read = [read_grid(line) for line in answers.numpy()]
    assert equal(read, grids) and all(grid.dtype == np.uint8 for grid in read)
    assert equal(packed.list(), grids)


def test_packed_grids_have_pads_outside_and_can_be_chosen():
    grids = some_grids(1, 20, 7)
    packed = pack(grids, 9)
    assert packed.cells_BSS.shape == (20, 9, 9) and len(packed) == 20
    assert (packed.cells_BSS == PAD).sum() == 20 * 81 - sum(grid.size for grid in grids)
    chosen = packed[torch.tensor([3, 3, 19, 0])]
    assert equal(chosen.list(), [grids[3], grids[3], grids[19], grids[0]])
    assert tokens(chosen).tolist() == padded([written(grid) for grid in chosen.list()])


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [EOS],
        [EOS, 1, EOS],
        [ROW, EOS],
        [ROW, ROW, EOS],
        [1, 2],  # without an end
        [1, PAD],
        [1, 2, ROW, 3, EOS],
        [1, ROW, 2, 3, EOS],
        [1, ROW, EOS],
        [ROW, 1, EOS],
        [1, ROW, ROW, 2, EOS],
        [1, PAD, EOS],
        [PAD, EOS],
        [1, BOS, EOS],
        [BOS, 1, EOS],
        [1, ROW, PAD, EOS],
        [1, ROW, BOS, EOS],
    ],
)
def test_tokens_that_are_no_grid_are_not_read(ids):
    assert read_grid(np.array(ids, dtype=np.int64)) is None
    assert read_grid(np.array(ids, dtype=np.uint8)) is None


@pytest.mark.parametrize(
    ("ids", "grid"),
    [
        ([5, EOS], [[5]]),
        ([0, ROW, 9, EOS], [[0], [9]]),
        ([1, 2, ROW, 3, 4, EOS], [[1, 2], [3, 4]]),
        ([1, 2, EOS, PAD, PAD], [[1, 2]]),
        ([1, EOS, BOS, 2, ROW, EOS, EOS], [[1]]),  # what is behind the end does not count
    ],
)
def test_tokens_up_to_the_end_are_a_grid(ids, grid):
    np.testing.assert_array_equal(read_grid(np.array(ids)), np.array(grid, dtype=np.uint8))


def test_joined_pieces_are_pythons_lists_one_behind_the_other():
    rng = np.random.default_rng(0)
    for n_pieces in (1, 2, 5):
        pieces = [
            [rng.integers(14, size=rng.integers(9)).tolist() for _ in range(7)] + [[1, 2]] for _ in range(n_pieces)
        ]
        given = [
            (torch.tensor(padded(piece), dtype=torch.uint8), torch.tensor([len(ids) for ids in piece]))
            for piece in pieces
        ]
        expected = [[*chain(*(piece[row] for piece in pieces))] for row in range(8)]
        ids, length = concatenate(given)
        assert ids.dtype == torch.uint8
        assert ids.tolist() == padded(expected) and length.tolist() == [len(line) for line in expected]


def test_what_stands_behind_a_piece_is_dropped_whatever_it_is():
    ids, length = concatenate(
        [(torch.tensor([[1, 7, 7], [1, 2, 3]], dtype=torch.uint8), torch.tensor([1, 3])), column_of(EOS, 2)]
    )
    assert ids.tolist() == [[1, EOS, PAD, PAD], [1, 2, 3, EOS]] and length.tolist() == [2, 4]


# --- symmetries and colours


@pytest.mark.parametrize("which", range(N_DIHEDRAL))
@pytest.mark.parametrize("side", [1, 5, 30])
def test_turned_grids_are_numpys(which, side):
    grids = some_grids(2, 12, side)
    found = apply_dihedral(pack(grids, side), torch.full((12,), which))
    expected = [image(grid, which) for grid in grids]
    assert equal(found.list(), expected)
    assert found.height_B.tolist() == [grid.shape[which >= 4] for grid in grids]
    assert torch.equal(found.cells_BSS, pack(expected, side).cells_BSS)


def test_every_grid_of_a_batch_is_turned_on_its_own():
    grids = some_grids(3, 40, 9)
    which = np.random.default_rng(0).integers(8, size=40)
    found = apply_dihedral(pack(grids, 12), torch.from_numpy(which))
    assert equal(found.list(), [image(grid, k) for grid, k in zip(grids, which.tolist(), strict=True)])


def test_the_eight_symmetries_are_a_group():
    grids = random_grids(4, [(2, 3), (3, 2), (4, 4), (1, 5), (7, 6)])
    packed = pack(grids, 7)
    images = {k: apply_dihedral(packed, torch.full((5,), k)) for k in range(8)}
    cells = {k: found.cells_BSS.flatten().tolist() for k, found in images.items()}
    assert len({tuple(found) for found in cells.values()}) == 8 and equal(images[0].list(), grids)
    table = np.zeros((8, 8), dtype=int)
    for first, second in product(range(8), repeat=2):
        both = apply_dihedral(images[first], torch.full((5,), second))
        (table[first, second],) = [k for k in range(8) if cells[k] == both.cells_BSS.flatten().tolist()]
        assert torch.equal(both.height_B, images[table[first, second]].height_B)
        assert torch.equal(both.width_B, images[table[first, second]].width_B)
    for line in (*table, *table.T):
        assert sorted(line.tolist()) == list(range(8))
    assert (table[0] == range(8)).all() and (table != table.T).any()


def test_exchanged_colours_are_numpys_lookup():
    grids = some_grids(5, 30, 8)
    rng = np.random.default_rng(0)
    lookup = np.stack([np.r_[rng.permutation(N_COLOURS), range(N_COLOURS, VOCABULARY_SIZE)] for _ in grids])
    packed = pack(grids, 11)
    found = recolour(packed, torch.from_numpy(lookup.astype(np.uint8)))
    assert equal(found.list(), [table[grid] for table, grid in zip(lookup, grids, strict=True)])
    assert torch.equal(found.cells_BSS == PAD, packed.cells_BSS == PAD) and found.cells_BSS.dtype == torch.uint8
    back = recolour(found, torch.from_numpy(lookup.argsort(axis=1).astype(np.uint8)))
    assert equal(back.list(), grids)


def test_colours_in_order_of_random_numbers_are_permutations_that_keep_black_and_the_special_tokens():
    table = colours_in_order(np.random.default_rng(0).random((3000, 9))).numpy()
    assert table.shape == (3000, VOCABULARY_SIZE) and table.dtype == np.uint8
    assert (np.sort(table, axis=1) == range(VOCABULARY_SIZE)).all()
    kept = [0, *range(N_COLOURS, VOCABULARY_SIZE)]
    assert (table[:, kept] == kept).all()
    for colour in range(1, N_COLOURS):
        assert stats.chisquare(np.bincount(table[:, colour], minlength=10)[1:10]).pvalue > 1e-4
