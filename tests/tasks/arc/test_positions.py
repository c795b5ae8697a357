"""Places in grids, against plain loops."""

import numpy as np
import pytest
import torch

from tasks.arc.decoding import encode
from tasks.arc.grids import BOS, EOS, PAD, ROW
from tasks.arc.positions import EDGE_LIMIT, cell_places, next_places
from tests.helpers import gap

from .grid_helpers import shown, written
from .model_helpers import batch_of, build, random_episodes, random_grid, run, tensor_of


def naive_places(ids):
    """Row, column, rows below and columns to the right of a sequence's cells; row and column of its ROWs."""
    places, grid = {}, []

    def close():
        for r, row in enumerate(grid):
            for c, place in enumerate(row):
                places[place] = (r, c, len(grid) - 1 - r, len(row) - 1 - c)

    for place, token in enumerate(ids):
        if token in (BOS, EOS, PAD):
            close()
            grid = []
        elif token == ROW:
            grid.append([])
        else:
            grid = grid or [[]]
            grid[-1].append(place)
    close()
    return places


def naive_next_places(ids):
    row = column = 0
    found = []
    for token in ids:
        if token in (BOS, EOS, PAD):
            row = column = 0
        elif token == ROW:
            row, column = row + 1, 0
        else:
            column += 1
        found.append((row, column))
    return found


RELATIVE = ["2d", "equivariant", "concat_mlp", "cross_attention"]


def without_edges(name):
    """A model in two dimensions that knows places by rotary positions alone."""
    model = build(name)
    with torch.no_grad():
        for table in model.from_edge:
            table.weight.zero_()
    return model


@pytest.mark.parametrize("name", RELATIVE)
def test_rotary_positions_alone_say_how_output_cells_stand_to_those_of_the_grids_shown(name, monkeypatch):
    model = without_edges(name)
    batch = batch_of(model.config, random_episodes(3))
    expected = run(model, batch).logits

    def moved(places, by):
        return lambda ids: [place + shift for place, shift in zip(places(ids), [*by, 0, 0], strict=False)]

    for by in ((4, 7), (0, 3), (2, 0)):
        monkeypatch.setattr("tasks.arc.model.cell_places", moved(cell_places, by))
        monkeypatch.setattr("tasks.arc.model.next_places", next_places)
        assert gap(run(model, batch).logits, expected) > 1e-3
        monkeypatch.setattr("tasks.arc.model.next_places", moved(next_places, by))
        assert gap(run(model, batch).logits, expected) < 1e-4


@pytest.mark.parametrize("name", RELATIVE)
def test_encoders_know_by_rotary_positions_how_cells_stand_to_each_other(name):
    model = without_edges(name)
    one, two = torch.tensor([[1, 2, 3, ROW, 4, 5, 6]]), torch.tensor([[1, 2, 6, ROW, 4, 5, 3]])
    code = encode(build("2d"), one).code  # every colour its own label
    for stack in (model.encoder, model.context_encoder):
        if len(stack):
            (first, *_), (second, *_) = (model._encode(stack, ids, code) for ids in (one, two))
            assert gap(first[:, 0], second[:, 0]) > 1e-4


def random_sequences(seed, n=20):
    """Demonstrations: two grids each, of different sizes."""
    rng = np.random.default_rng(seed)
    return tensor_of(shown([(random_grid(rng), random_grid(rng)) for _ in range(n)]), PAD, more=2)


def test_places_in_a_grid_of_width_7():
    row, column, below, right = cell_places(torch.tensor([written(np.ones((3, 7), dtype=np.uint8))]))
    cells = [place for place in range(3 * 8 - 1) if place % 8 != 7]
    assert row[0, cells].tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert column[0, cells].tolist() == list(range(7)) * 3
    assert below[0, cells].tolist() == [2] * 7 + [1] * 7 + [0] * 7
    assert right[0, cells].tolist() == [*range(6, -1, -1)] * 3


def test_places_in_the_two_grids_of_a_demonstration():
    ids = shown([(np.ones((2, 7), dtype=np.uint8), np.ones((3, 2), dtype=np.uint8))])
    row, column, below, right = (place[0].tolist() for place in cell_places(tensor_of(ids, PAD, more=3)))
    first, second = slice(0, 7), slice(8, 15)
    assert (row[first], column[first], below[first], right[first]) == ([0] * 7, [*range(7)], [1] * 7, [*range(7)][::-1])
    assert (row[second], column[second], below[second]) == ([1] * 7, [*range(7)], [0] * 7)
    start = 16  # behind 15 tokens and BOS
    cells = [start, start + 1, start + 3, start + 4, start + 6, start + 7]
    assert [row[c] for c in cells] == [0, 0, 1, 1, 2, 2] and [below[c] for c in cells] == [2, 2, 1, 1, 0, 0]
    assert [column[c] for c in cells] == [0, 1] * 3 and [right[c] for c in cells] == [1, 0] * 3
    for place in (row, column, below, right):
        assert place[15] == 0 and place[start + 8 :] == [0] * 4  # BOS; EOS and pads


@pytest.mark.parametrize("seed", range(3))
def test_places_are_those_of_a_plain_loop(seed):
    ids_BL = random_sequences(seed)
    found = torch.stack(cell_places(ids_BL), dim=-1).tolist()
    for ids, places in zip(ids_BL.tolist(), found, strict=True):
        expected = naive_places(ids)
        assert {place: tuple(places[place]) for place in expected} == expected
        assert all(places[place] == [0] * 4 for place, token in enumerate(ids) if token in (BOS, EOS, PAD))


@pytest.mark.parametrize("seed", range(3))
def test_next_places_are_those_of_a_plain_loop(seed):
    ids_BL = random_sequences(seed)
    shuffled_BL = ids_BL[:, torch.randperm(ids_BL.shape[1], generator=torch.Generator().manual_seed(seed))]
    for sequences in (ids_BL, shuffled_BL):  # what is generated need not be a grid
        found = torch.stack(next_places(sequences), dim=-1).tolist()
        assert [list(map(tuple, row)) for row in found] == [naive_next_places(row) for row in sequences.tolist()]


def test_next_places_never_look_ahead_and_are_the_next_cells_places():
    ids_BL = random_sequences(3)
    whole, cells = torch.stack(next_places(ids_BL)), torch.stack(cell_places(ids_BL)[:2])
    for end in range(1, ids_BL.shape[1]):
        assert torch.equal(torch.stack(next_places(ids_BL[:, :end])), whole[:, :, :end])
    inside = (ids_BL[:, 1:] <= ROW) & (ids_BL[:, 1:] != PAD)
    assert torch.equal(whole[:, :, :-1][:, inside], cells[:, :, 1:][:, inside])


def test_every_place_of_the_largest_grids_has_its_vector():
    grids = [np.ones(shape, dtype=np.uint8) for shape in ((30, 30), (1, 30), (30, 1))]
    ids_BL = tensor_of(shown([(grid, grid) for grid in grids]), PAD)
    for place in [*cell_places(ids_BL), *next_places(ids_BL)]:
        assert place.min() == 0 and place.max() < EDGE_LIMIT
