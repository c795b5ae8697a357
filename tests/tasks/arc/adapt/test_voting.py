"""Views and their undoing, votes over whole grids."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from tasks.arc.adapt.episodes import seen_as
from tasks.arc.adapt.voting import Answer, answer, views_of, vote
from tests.tasks.arc.grid_helpers import random_grids
from tests.tasks.arc.model_helpers import LADDER, build


def views(given, options, draws=3, **others):
    return views_of(given, dataclasses.replace(options, adapt_draws=draws, **others))


def test_a_view_and_its_undoing_are_inverses(given, options):
    for grid, view in itertools.product(random_grids(0, [(3, 5), (1, 4), (6, 6)]), views(given, options)):
        colours = torch.from_numpy(view.colours)[None]
        seen, *_ = seen_as(([grid],) * 4, torch.tensor([1]), torch.tensor([view.symmetry]), colours)
        assert np.array_equal(view.undo(seen.numpy(0)), grid)


def test_the_first_view_is_the_task_as_it_is(given, options):
    first, *others = views(given, options)
    assert (first.symmetry, first.shown.tolist()) == (0, [0, 1, 2, 3])
    assert first.colours.tolist() == list(range(14))
    assert len(others) == 23 and all(
        view.colours[0] == 0 and set(view.colours[1:10]) == set(range(1, 10)) for view in others
    )
    assert {view.symmetry for view in others} == set(range(8))
    assert all(sorted(view.shown) == [0, 1, 2, 3] for view in others)


def test_no_more_demonstrations_are_shown_than_fit(given, options):
    few = views(given, options, adapt_shown=2)
    assert {len(view.shown) for view in few} == {2} and len({frozenset(view.shown.tolist()) for view in few}) == 6


def grid(number):
    return np.full((1, 2), number, np.uint8)


def test_votes_are_counted_and_ties_go_to_the_likelier():
    answers = [(1, -1.0), (2, -9.0), (3, -0.1), (2, -9.0), (None, 0.0), (1, -1.5), (4, -0.2), (2, -9.0)]
    votes = vote([Answer(None if number is None else grid(number), likely) for number, likely in answers])
    assert [(one.grid[0, 0], one.views, one.log_likelihood) for one in votes] == [
        (2, 3, -27.0),
        (1, 2, -2.5),
        (3, 1, -0.1),
        (4, 1, -0.2),
    ]


def test_grids_of_the_same_cells_and_other_shapes_are_different():
    wide, tall = np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8)
    assert [one.views for one in vote([Answer(wide, 0.0), Answer(tall, -1.0), Answer(wide, 0.0)])] == [2, 1]


def test_nothing_readable_is_no_vote():
    assert vote([Answer(None, 0.0)] * 3) == []


@pytest.mark.parametrize("name", LADDER)
def test_answers_do_not_depend_on_what_is_asked_beside_them(name, given, options, plain, make, monkeypatch):
    model, rows = build(name), make("unseen_tasks", LADDER[name]["architecture"], LADDER[name]["bridge"])
    together = answer(model, given, rows, views(given, options, 1), plain)
    monkeypatch.setattr("tasks.arc.adapt.voting._TOGETHER", 3)
    apart = answer(model, given, rows, views(given, options, 1), plain)
    assert len(together) == len(given.queries) and {len(of) for of in together} == {8}
    for one, other in zip(itertools.chain(*together), itertools.chain(*apart), strict=True):
        assert np.array_equal(one.grid, other.grid) if one.grid is not None else other.grid is None
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-4)


def test_tasks_that_keep_their_shapes_are_answered_in_that_of_the_query(given, options, plain, make, tiny):
    """An untrained model has no idea of the shape."""
    rows = make("unseen_tasks")
    queries = [before for before, _ in given.demonstrations]
    for changes, is_kept in ((lambda grid: grid, True), (lambda grid: grid[:, :-1], False)):
        shown = dataclasses.replace(given, queries=queries, demonstrations=[(grid, changes(grid)) for grid in queries])
        answers = answer(tiny, shown, rows, views(given, options, 1), plain)
        fits = [
            one.grid is not None and one.grid.shape == query.shape
            for query, of in zip(queries, answers, strict=True)
            for one in of
        ]
        assert all(fits) if is_kept else not any(fits)


def test_colours_make_no_new_view_of_a_model_of_labels(given, options, plain, make, tiny):
    """Why one draw is enough for it: exchanged colours exchange the answer."""
    once, again = (
        answer(tiny, given, make("unseen_tasks"), views(given, options, 2)[part], plain)
        for part in (slice(8), slice(8, 16))
    )
    for one, other in zip(itertools.chain(*once), itertools.chain(*again), strict=True):
        assert (one.grid is None) == (other.grid is None) and one.log_likelihood == pytest.approx(
            other.log_likelihood, rel=1e-3
        )
