"""A copy learns, the model stays as it is, and no output of a query changes what is learnt."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tasks.arc.adapt.given import Given, given_of
from tasks.arc.adapt.training import learn, untrained
from tasks.arc.adapt.voting import answer, views_of, vote
from tests.helpers import same

from .conftest import with_steps


def test_outputs_of_queries_change_no_weight(with_outputs, tiny, options, plain):
    """The canary: all answers are replaced, and what was learnt is the same bit for bit."""
    learnt = []
    for new in (lambda grid: grid, lambda grid: 9 - grid):
        rows = with_outputs(new)
        given = given_of(rows, str(rows.tasks[0]), [0, 1], 4)
        learnt.append(learn(tiny, given, rows, options, plain).model.state_dict())
    assert same(*learnt) and not same(learnt[0], tiny.state_dict())


@pytest.mark.parametrize("muon", [False, True])
def test_the_model_itself_stays_as_it_is(muon, given, tiny, options, plain, make):
    before = copy.deepcopy(tiny.state_dict())
    learnt = learn(tiny, given, make("unseen_tasks"), dataclasses.replace(options, adapt_muon=muon), plain)
    assert same(before, tiny.state_dict()) and learnt.model is not tiny and not learnt.model.training
    moved = {name for name, value in learnt.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name, _ in tiny.named_parameters()}


def test_the_seed_decides_what_is_learnt_and_no_task_before(given, tiny, options, plain, make):
    def learnt(seed):
        chosen = dataclasses.replace(options, adapt_seed=seed)
        return learn(tiny, given, make("unseen_tasks"), chosen, plain).model.state_dict()

    assert same(learnt(0), learnt(0)) and not same(learnt(0), learnt(1))


def test_random_weights_are_a_model_of_the_same_kind(tiny):
    one, again, other = (untrained(tiny, seed) for seed in (3, 3, 4))
    assert one.config == tiny.config and same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict()) and not same(one.state_dict(), tiny.state_dict())


def planted(n, seed):
    """Pairs of a rule that is quickly learnt: two cells, whatever they are, become black ones."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(1, 9, (1, 2), dtype=np.uint8), np.zeros((1, 2), np.uint8)) for _ in range(n)]


def test_a_planted_task_is_learnt_in_few_steps(tiny, options, plain, make):
    rows, queries = make("unseen_tasks"), planted(6, 1)
    given = Given("planted", 4, planted(4, 0), [before for before, _ in queries])
    chosen = with_steps(options, 60, adapt_rate=1e-2)
    views = views_of(given, chosen)

    def solved(model):
        votes = [vote(of) for of in answer(model, given, rows, views, plain)]
        return [bool(of) and np.array_equal(of[0].grid, after) for of, (_, after) in zip(votes, queries, strict=True)]

    assert not any(solved(tiny))
    learnt = learn(tiny, given, rows, chosen, plain)
    assert all(solved(learnt.model)) and learnt.loss < 0.2
