"""Leave-one-out episodes: what is asked is not shown, all comes from demonstrations, borders are alike in and out."""

from collections import Counter

import numpy as np
import pytest

from tasks.arc.adapt.episodes import _bordered, draw_episodes
from tasks.arc.adapt.given import Given
from tasks.arc.copies import look
from tests.tasks.arc.grid_helpers import random_grids


def looks(examples):
    """(Look of the query, looks of its demonstrations) of every episode: what turns and colours leave as it is."""
    *grids, n_shown = examples
    before, after, shown, shown_after = (part.list() for part in grids)
    context = iter(zip(shown, shown_after, strict=True))
    return [
        (look(pair), [look(next(context)) for _ in range(n)])
        for pair, n in zip(zip(before, after, strict=True), n_shown.tolist(), strict=True)
    ]


def drawn(given, count=64, shown=4, borders=0, seed=0):
    return draw_episodes(given, count, shown, borders, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("context", "shown", "numbers"), [(2, 4, {1}), (3, 4, {2}), (4, 4, {2, 3}), (4, 2, {2}), (4, 1, {1})]
)
def test_every_demonstration_is_asked_from_others(given, context, shown, numbers):
    own = Given(given.task, context, given.demonstrations[:context], given.queries)
    known = [look(pair) for pair in own.demonstrations]
    assert len(set(known)) == context
    episodes = looks(drawn(own, shown=shown))
    assert all(asked in known and asked not in seen and set(seen) <= set(known) for asked, seen in episodes)
    assert all(len(set(seen)) == len(seen) for _, seen in episodes)
    assert {len(seen) for _, seen in episodes} == numbers
    counts = Counter(asked for asked, _ in episodes)
    assert max(counts.values()) - min(counts.values()) <= 1 and len(counts) == context


def test_orders_turns_and_colours_vary_and_the_seed_decides(given):
    def flat(seed):
        return [grid.tobytes() for part in drawn(given, seed=seed)[:4] for grid in part.list()]

    assert flat(0) == flat(0) != flat(1)
    first = drawn(given)[0].list()
    assert len({(grid.shape, grid.tobytes()) for grid in first}) > 20  # of 64 views of 4 pairs
    seen = {tuple(context) for _, context in looks(drawn(given)) if len(context) == 3}
    assert len(seen) > 12  # of 24 orders of three others


def test_a_border_is_the_same_around_input_and_output():
    rng = np.random.default_rng(0)
    before, after = random_grids(1, [(3, 5), (3, 5)])
    before, after = before + 1, after + 1
    widths = set()
    for _ in range(200):
        pair = _bordered((before, after), 2, rng)
        rows, columns = np.nonzero(pair[0])
        inner = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        assert np.array_equal(pair[0][inner], before) and np.array_equal(pair[1][inner], after)
        assert pair[0].shape == pair[1].shape and np.count_nonzero(pair[1]) == after.size
        widths.add((pair[0].shape[0] - 3, rows.min(), pair[0].shape[1] - 5, columns.min()))
    assert len(widths) == 36  # 0 to 2 more, none to all of them before: six ways on each axis


def test_borders_leave_tasks_alone_that_change_shapes_and_grids_that_are_full(given):
    changing = Given("a", 3, [(grid, grid[:1]) for grid in random_grids(0, [(2, 3), (3, 2), (4, 4)])], [])
    assert {grid.shape for grid in drawn(changing, borders=3)[0].list()} <= {(2, 3), (3, 2), (4, 4)}
    full = [(grid, grid) for grid in random_grids(0, [(30, 30), (30, 29)])]
    assert max(max(grid.shape) for grid in drawn(Given("a", 2, full, []), 8, borders=9)[0].list()) == 30
