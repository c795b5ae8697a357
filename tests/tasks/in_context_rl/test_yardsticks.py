"""Posterior sampling and search: what they hold possible, and their returns by enumeration of all that is drawn."""

from functools import cache

import numpy as np
import pytest

from tasks.in_context_rl.rooms import family_of, shuffled_split
from tasks.in_context_rl.yardsticks import YARDSTICKS, Posterior, play, yardstick_returns
from tests.helpers import refusal, within

from .room_helpers import FAMILIES, families, rules, some_tasks, walked

SMALL = {"darkroom": (3, 4, 3), "darkroom_permuted": (2, 4, 2), "dark_key_to_door": (2, 5, 3)}
"""Size, horizon and episodes of rooms in which everything can be enumerated."""


class Enumeration:
    """A yardstick by its definition, task by task and without numpy, in one true task."""

    def __init__(self, name, size, horizon, n_episodes, true, yardstick):
        self.horizon, self.n_episodes, self.true, self.yardstick = horizon, n_episodes, true, yardstick
        self.tasks = [rules(name, size, number) for number in range(len(FAMILIES[name](size).tasks))]
        self.once, self.size, self.start = name == "dark_key_to_door", size, self.tasks[0][0]
        for method in ("outcome", "good_actions", "fitting", "begin", "rest"):
            setattr(self, method, cache(getattr(self, method)))

    def outcome(self, task, place, stage, action):
        """Next place, next stage and reward."""
        _, goals, directions = self.tasks[task]
        after = tuple(min(max(0, p + d), self.size - 1) for p, d in zip(place, directions[action], strict=True))
        reward = stage < len(goals) and after == goals[stage]
        return after, stage + (reward and self.once), int(reward)

    def good_actions(self, task, place, stage):
        """Actions that lead nearer to the next goal, or stay there."""
        _, goals, directions = self.tasks[task]
        goal = goals[min(stage, len(goals) - 1)]

        def far(place):
            return sum(abs(p - g) for p, g in zip(place, goal, strict=True))

        if place == goal:
            return [directions.index((0, 0))]
        return [a for a in range(5) if far(self.outcome(task, place, stage, a)[0]) < far(place)]

    def fitting(self, belief, place, stage, action):
        """Tasks of the belief in which an action does what it does in the true one."""
        seen = self.outcome(self.true, place, stage, action)
        return frozenset(task for task in belief if self.outcome(task, place, stage, action) == seen)

    def mean(self, ways):
        return tuple(sum(way) / len(ways) for way in zip(*ways, strict=True))

    def begin(self, episode, belief):
        """Expected returns of the episodes from this one on."""
        if episode == self.n_episodes:
            return ()
        return self.mean([self.rest(episode, belief, self.start, 0, task, self.horizon) for task in sorted(belief)])

    def rest(self, episode, belief, place, stage, meant, left):
        """Expected rewards of the rest of an episode, and returns of those after it."""
        if left == 0:
            return (0.0, *self.begin(episode + 1, belief))
        ways = []
        for action in self.good_actions(meant, place, stage):
            seen = self.outcome(self.true, place, stage, action)
            known = self.fitting(belief, place, stage, action)
            anew = {"psrl": False, "search": meant not in known, "matching": True}[self.yardstick]
            new = sorted(known) if anew else [meant]
            after = self.mean([self.rest(episode, known, *seen[:2], task, left - 1) for task in new])
            ways.append((after[0] + seen[2], *after[1:]))
        return self.mean(ways)


@families
@pytest.mark.parametrize("yardstick", YARDSTICKS)
def test_expected_returns_are_those_of_enumeration(name, yardstick):
    size, horizon, n_episodes = SMALL[name]
    world, each = FAMILIES[name](size, horizon), 3000
    numbers = some_tasks(world, 2, seed=1)
    tasks = world.tasks[numbers].repeated(each)
    found = play(world.room, tasks, n_episodes, yardstick, np.random.default_rng(0))
    for number, returns in zip(numbers.tolist(), found.reshape(2, each, n_episodes), strict=True):
        by_hand = Enumeration(name, size, horizon, n_episodes, number, yardstick)
        expected = by_hand.begin(0, frozenset(range(len(world.tasks))))
        for sample, mean in zip(returns.T, expected, strict=True):
            assert within(sample, mean) or np.allclose(sample, mean, atol=1e-3)


@families
def test_what_is_held_possible_are_the_tasks_that_fit_all_that_was_seen(name):
    size, n_steps = (2 if name == "dark_key_to_door" else 3), 12
    world = FAMILIES[name](size, n_steps)
    numbers = some_tasks(world, 20)
    tasks, posterior = world.tasks[numbers], Posterior(world.room, len(numbers))
    cell, stage = np.full(len(numbers), world.room.start), np.zeros(len(numbers), dtype=int)
    actions = np.random.default_rng(0).integers(5, size=(n_steps, len(numbers)))
    for action in actions:
        after, next_stage, reward = world.room.step(tasks, cell, stage, action)
        posterior.observe(cell, stage, action, after, reward)
        cell, stage = after, next_stage
    every = range(len(world.tasks))
    orders = posterior.orders_PA.tolist()
    for agent, number in enumerate(numbers.tolist()):
        taken = actions[:, agent].tolist()
        seen = walked(name, size, number, taken)
        fitting = {other for other in every if walked(name, size, other, taken) == seen}
        held = {
            other
            for other in every
            if all(posterior.goal_NGC[agent, place, goal] for place, goal in enumerate(world.tasks.goals_NG[other]))
            and posterior.order_NP[agent, orders.index(world.tasks.moves_NA[other].tolist())]
        }
        assert held == fitting and number in fitting
    assert (
        posterior.rules_out(tasks.goals_NG, np.array([orders.index(o) for o in tasks.moves_NA.tolist()]))
    ).sum() == 0


def test_on_the_published_goals_search_regrets_less_than_posterior_sampling():
    world = FAMILIES["darkroom"]()
    _, test = shuffled_split(len(world.tasks), 0.9, 0)
    tasks, optimal = world.tasks[test], world.room.optimal_returns(world.tasks[test])
    found = yardstick_returns(world.room, tasks, 50)
    regret = {name: (optimal[:, None, None] - returns).sum(axis=-1).mean() for name, returns in found.items()}
    assert 195 < regret["psrl"] < 235 and 44 < regret["search"] < 55
    assert 17.1 < found["psrl"][..., -10:].mean() <= found["search"][..., -10:].mean() == optimal.mean() == 17.25
    again = yardstick_returns(world.room, tasks, 50)
    assert all((again[name] == returns).all() for name, returns in found.items())
    assert found["psrl"].shape == (8, 128, 50)


@families
@pytest.mark.parametrize("yardstick", YARDSTICKS)
def test_a_yardstick_learns_up_to_the_optimum(name, yardstick):
    size, horizon = {"dark_key_to_door": (3, 12)}.get(name, (4, 16))
    world = FAMILIES[name](size, horizon)
    tasks = world.tasks[some_tasks(world, 12)]
    returns = yardstick_returns(world.room, tasks, 60)[yardstick].mean(axis=1)
    optimal = world.room.optimal_returns(tasks)
    assert (returns <= optimal[:, None] + 1e-9).all()
    assert returns[:, -10:].mean() > 0.97 * optimal.mean() > returns[:, 0].mean()


def test_rules_belong_to_one_family_or_are_refused():
    for make in FAMILIES.values():
        for size in (2, 5):
            world = make(size, 7)
            assert family_of(world.room).labels == world.labels
    with refusal("start=2"):
        family_of(type(world.room)(size=3, start=2, horizon=5))
