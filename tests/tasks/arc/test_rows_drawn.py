"""What is random in rows: demonstrations, turns and colours."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats

from tasks.arc.grids import N_COLOURS
from tests.helpers import same

from .grid_helpers import equal, image
from .row_helpers import episodes_of, flat

VARIED = {"resample_context": True, "augment_dihedral": True, "augment_colours": True}

MODELS = [("encoder_decoder", "cross_attention"), ("decoder_only", "prompt")]


def key(pair):
    return tuple((grid.shape, grid.tobytes()) for grid in pair)


@pytest.mark.parametrize(("architecture", "bridge"), MODELS)
def test_what_is_drawn_follows_from_seed_epoch_and_row(architecture, bridge, make):
    rows, again = (make("train", architecture, bridge, **VARIED) for _ in range(2))
    chosen = [60, 3, 41, 7, 7, 30]
    first = rows.__getitems__(chosen)
    rows.__getitems__([1, 2])
    torch.manual_seed(1)
    assert same(rows.__getitems__(chosen), first) and same(again.__getitems__(chosen), first)
    assert not same(make("train", architecture, bridge, **VARIED, dataset_seed=1).__getitems__(chosen), first)
    usual, other = episodes_of(rows, [*chosen[:5], 31]), episodes_of(rows, [44, *chosen[4::-1]])
    assert all(equal(flat(*one), flat(*two)) for one, two in zip(usual[:5], other[:0:-1], strict=True))
    rows.set_epoch(1)
    later = episodes_of(rows, [*chosen[:5], 31])
    assert not any(equal(flat(*one), flat(*two)) for one, two in zip(usual, later, strict=True))
    again.set_epoch(1)
    assert same(rows.__getitems__(chosen), again.__getitems__(chosen))


@pytest.mark.parametrize("split", ["validation", "unseen_tasks", "test"])
@pytest.mark.parametrize(("architecture", "bridge"), MODELS)
def test_rows_that_are_evaluated_are_never_varied(split, architecture, bridge, make):
    plain, varied = make(split, architecture, bridge), make(split, architecture, bridge, **VARIED)
    chosen = list(range(len(plain)))
    assert same(varied.__getitems__(chosen), plain.__getitems__(chosen))
    assert same(varied.prompts(chosen), plain.prompts(chosen))


def test_a_drawn_context_is_of_other_rows_of_the_task_and_all_of_them_occur(make, stored):
    rows = make(resample_context=True)
    number = {(name, key(query)): row for row, (name, query, _) in enumerate(stored["train"])}
    assert len(number) == len(rows) == 84
    rng, partners = np.random.default_rng(0), {row: [] for row in range(84)}
    for epoch in range(40):
        rows.set_epoch(epoch)
        chosen = rng.permutation(84)[:60].tolist()
        for row, (query, context) in zip(chosen, episodes_of(rows, chosen), strict=True):
            task = stored["train"][row][0]
            assert number[task, key(query)] == row
            found = [number[task, key(pair)] for pair in context]  # a row of the train split, of the same task
            assert len({row, *found}) == 3
            partners[row] += found
    for row, found in partners.items():
        first = row - row % 6
        assert {*found} == {*range(first, first + 6)} - {row}


@pytest.mark.parametrize("n_context", [1, 3, 5])
def test_every_choice_of_other_rows_is_equally_likely(n_context, make):
    rows = make(resample_context=True, n_context=n_context)
    epochs = []
    for epoch in range(2000):
        rows.set_epoch(epoch)
        places, numbers = rows.draw_context(np.array([8]))
        assert numbers.tolist() == [n_context]
        epochs.append(places.numpy())
    drawn = np.array(epochs)
    others = [6, 7, 9, 10, 11]
    for column in drawn.T:
        assert stats.chisquare([(column == other).sum() for other in others]).pvalue > 1e-4
    assert all(len(set(line)) == n_context for line in drawn.tolist()) and set(drawn.ravel().tolist()) == {*others}


def test_a_context_is_drawn_for_tasks_of_any_number_of_rows(make, data):
    """3, 6 and 4 rows of three tasks."""
    part = [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    rows = make(table=data.splits["train"].select(part), resample_context=True)
    blocks = [range(3), range(3, 9), range(9, 13)]
    chosen, found = np.arange(13), {row: set() for row in range(13)}
    for epoch in range(60):
        rows.set_epoch(epoch)
        for row, drawn in enumerate(rows.draw_context(chosen)[0].view(13, 2).tolist()):
            assert len({row, *drawn}) == 3
            found[row] |= {*drawn}
    assert found == {row: {*block} - {row} for block in blocks for row in block}


def test_a_number_of_demonstrations_is_drawn_too_up_to_those_there_are(make, data):
    """3 and 6 rows of two tasks: 1 or 2, and 1 to 4 demonstrations."""
    rows = make(
        table=data.splits["train"].select([0, 1, 2, *range(6, 12)]), resample_context=True, n_context=4, min_context=1
    )
    numbers = []
    for epoch in range(300):
        rows.set_epoch(epoch)
        places, n_shown = rows.draw_context(np.array([7, 1]))
        own, other = places.split(n_shown.tolist())
        assert len({7, *own.tolist()}) == len(own) + 1 and {*own.tolist()} <= {*range(3, 9)}
        assert len({1, *other.tolist()}) == len(other) + 1 and {*other.tolist()} <= {0, 2}
        numbers.append(n_shown.tolist())
    for drawn, possible in zip(np.array(numbers).T, ([1, 2, 3, 4], [1, 2]), strict=True):
        assert stats.chisquare([(drawn == n).sum() for n in possible]).pvalue > 1e-4
        assert {*drawn.tolist()} == {*possible}


def test_an_episode_is_turned_as_one(make, stored):
    rows, kinds = make(augment_dihedral=True), []
    for batch in np.random.default_rng(0).permutation(84).reshape(7, 12).tolist():
        for row, episode in zip(batch, episodes_of(rows, batch), strict=True):
            originals = flat(*stored["train"][row][1:])
            fits = [k for k in range(8) if equal(flat(*episode), [image(grid, k) for grid in originals])]
            assert fits
            kinds += fits if len(fits) == 1 else []
    assert {*kinds} == {*range(8)} and stats.chisquare(np.bincount(kinds)).pvalue > 1e-4


def test_a_turned_episode_still_follows_its_rule(make):
    """6d0aefbc appends the mirror image: turned back, every pair of an episode does, by the same turn."""

    def mirrors(pair):
        return np.array_equal(np.hstack([pair[0], pair[0][:, ::-1]]), pair[1])

    rows = make(augment_dihedral=True, resample_context=True)
    chosen = np.nonzero(rows.tasks == "6d0aefbc")[0].tolist()
    n_turned = 0
    for epoch in range(6):
        rows.set_epoch(epoch)
        for query, context in episodes_of(rows, chosen):
            pairs = [query, *context]
            assert any(all(mirrors([image(grid, k) for grid in pair]) for pair in pairs) for k in range(8))
            n_turned += not mirrors(query)
    assert len(chosen) == 6 and n_turned > 10


def test_an_episodes_colours_are_exchanged_as_one_and_black_stays(make, stored):
    rows, tables = make(augment_colours=True), set()
    for batch in np.random.default_rng(0).permutation(84).reshape(7, 12).tolist():
        for row, episode in zip(batch, episodes_of(rows, batch), strict=True):
            originals, new = flat(*stored["train"][row][1:]), {}
            for grid, found in zip(originals, flat(*episode), strict=True):
                assert found.shape == grid.shape
                for colour, other in zip(grid.ravel().tolist(), found.ravel().tolist(), strict=True):
                    assert new.setdefault(colour, other) == other
            assert len({*new.values()}) == len(new) and new.get(0, 0) == 0
            assert all(1 <= other <= 9 for colour, other in new.items() if colour)
            tables.add(tuple(sorted(new.items())))
    assert len(tables) > 60


def test_turns_colours_and_draws_go_together(make, stored):
    """Turned back and up to the names of colours, an episode is its row and two other rows of the task."""
    rows, chosen = make(**VARIED), np.random.default_rng(1).permutation(84)[:24].tolist()
    for row, episode in zip(chosen, episodes_of(rows, chosen), strict=True):
        task, original, _ = stored["train"][row]
        others = [query for name, query, _ in stored["train"] if name == task and query is not original]
        possible = {up_to_colours(flat(original, drawn)) for drawn in permutations(others, 2)}
        assert possible & {up_to_colours([image(grid, k) for grid in flat(*episode)]) for k in range(8)}


def up_to_colours(grids):
    """Shapes and cells, the colours numbered by when they appear; black is 0."""
    cells = np.concatenate([[0], *map(np.ravel, grids)])
    colours, first = np.unique(cells, return_index=True)
    number = np.zeros(N_COLOURS, dtype=np.uint8)
    number[colours[first.argsort()]] = range(len(colours))
    return tuple(grid.shape for grid in grids), number[cells].tobytes()
