"""Encoded steps can be read back."""

import numpy as np
import pytest

from tasks.in_context_rl.encoding import FIELDS, encode, field_sizes
from tasks.in_context_rl.rooms import N_ACTIONS, darkroom

from .room_helpers import decoded


def sizes_of(size):
    return field_sizes(size, N_ACTIONS, 2)


def test_no_two_fields_share_an_id_and_nothing_yet_is_a_value_of_its_own():
    room = darkroom(3).room
    cells = np.arange(room.n_cells)
    first = encode(sizes_of(3), cells, np.full(9, -1), np.full(9, -1), np.full(9, -1), np.ones(9, dtype=bool))
    later = encode(sizes_of(3), cells, cells, cells % N_ACTIONS, cells % 2, np.zeros(9, dtype=bool))
    for field, (least, size) in enumerate(zip(np.cumsum([0, *sizes_of(3)[:-1]]), sizes_of(3), strict=True)):
        both = np.concatenate([first[:, field], later[:, field]])
        assert least <= both.min() and both.max() < least + size
        if FIELDS[field].startswith("arrived") or FIELDS[field] in ("action", "reward"):
            assert (first[:, field] == least + size - 1).all() and (later[:, field] < least + size - 1).all()
    expected = [
        [cell // 3, cell % 3, (cell + 1) % 9 // 3, (cell + 1) % 3, cell % N_ACTIONS, cell % 2, 0] for cell in range(9)
    ]
    moved = encode(sizes_of(3), cells, (cells + 1) % 9, cells % N_ACTIONS, cells % 2, np.zeros(9, dtype=bool))
    assert (moved - np.cumsum([0, *sizes_of(3)[:-1]])).tolist() == expected


@pytest.mark.parametrize("size", [2, 5, 9, 15])
def test_encoded_steps_can_be_read_back(size):
    rng = np.random.default_rng(size)
    cells = range(size**2)
    known = [
        *((cell, arrived, rng.integers(5), rng.integers(2)) for cell in cells for arrived in cells[:: size // 2]),
        *((0, arrived, action, reward) for arrived in cells for action in range(5) for reward in range(2)),
        *((cell, -1, -1, -1) for cell in cells),
    ]
    columns = [np.array(column) for column in zip(*known, strict=True)]
    begins = rng.integers(2, size=len(known)).astype(bool)
    found = encode(sizes_of(size), *columns, begins)
    assert found.dtype == np.int64 and found.shape == (len(known), len(FIELDS))
    for ids, (cell, arrived, action, reward), begin in zip(found.tolist(), known, begins.tolist(), strict=True):
        before = [None] * 4 if arrived < 0 else [*divmod(arrived, size), action, reward]
        assert decoded(size, ids) == [*divmod(cell, size), *before, begin]
    of_field = [set(column) for column in found.T.tolist()]
    assert [len(ids) for ids in of_field] == sizes_of(size) == [size, size, size + 1, size + 1, 6, 3, 2]
    assert set().union(*of_field) == set(range(sum(sizes_of(size))))  # all of them, none in two fields


def test_steps_are_encoded_in_arrays_of_any_shape():
    rng = np.random.default_rng(0)
    given = [rng.integers(most, size=(3, 4)) for most in (25, 25, 5, 2, 2)]
    found = encode(sizes_of(5), *given)
    assert found.shape == (3, 4, 7)
    assert found.reshape(12, 7).tolist() == encode(sizes_of(5), *(part.ravel() for part in given)).tolist()
