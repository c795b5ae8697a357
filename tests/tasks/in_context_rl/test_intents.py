"""Histories of the yardsticks: the probability of each of their actions, by all tasks that they may mean."""

import numpy as np
import pytest

from tasks.in_context_rl.intents import Yardstick, best_move_chances
from tasks.in_context_rl.sources import record
from tasks.in_context_rl.yardsticks import YARDSTICKS, play
from tests.helpers import within

from .room_helpers import DIRECTIONS, FAMILIES, families, rules, some_tasks

SMALL = {"darkroom": (4, 9), "darkroom_permuted": (3, 8), "dark_key_to_door": (2, 7)}
"""Size and horizon of rooms whose tasks can be gone through one by one."""


def good_actions(task, place, found, size):
    """Actions that lead nearer to the next goal, or stay there; and where every action leads."""
    _, goals, directions = task
    goal = goals[min(found, len(goals) - 1)]
    led_to = [
        tuple(min(max(0, p + d), size - 1) for p, d in zip(place, direction, strict=True)) for direction in directions
    ]
    if place == goal:
        return [directions.index((0, 0))], led_to
    far = [sum(abs(p - g) for p, g in zip(after, goal, strict=True)) for after in [place, *led_to]]
    return [action for action in range(5) if far[action + 1] < far[0]], led_to


def chances_of_taken(name, yardstick, size, horizon, steps):
    """Probability of every action of a history, by the chances of all tasks that may be meant."""
    tasks = [rules(name, size, number) for number in range(len(FAMILIES[name](size, horizon).tasks))]
    once, possible, chances = name == "dark_key_to_door", set(range(len(tasks))), []
    for number, (cell, action, reward, after) in enumerate(steps):
        if number % horizon == 0:
            found = 0
        if number % horizon == 0 or yardstick == "matching":
            meant = {task: 1 / len(possible) for task in possible}
        place, led_to = divmod(cell, size), divmod(after, size)
        good = {task: good_actions(tasks[task], place, found, size) for task in set(meant) | possible}
        weight = {task: p * (action in good[task][0]) / len(good[task][0]) for task, p in meant.items()}
        chances.append(sum(weight.values()))
        meant = {task: p / chances[-1] for task, p in weight.items()}

        def fits(task):
            goals, arrived = tasks[task][1], good[task][1][action]  # noqa: B023 - used at once
            return arrived == led_to and (found < len(goals) and arrived == goals[found]) == reward  # noqa: B023

        possible = {task for task in possible if fits(task)}
        if yardstick == "search":
            given_up = sum(p for task, p in meant.items() if task not in possible)
            meant = {task: meant.get(task, 0) + given_up / len(possible) for task in possible}
        found += reward * once
    return chances


@families
@pytest.mark.parametrize("yardstick", YARDSTICKS)
def test_recorded_probabilities_are_those_of_all_that_may_be_meant(name, yardstick):
    size, horizon = SMALL[name]
    world = FAMILIES[name](size, horizon)
    numbers = some_tasks(world, 5)
    found = record(Yardstick(yardstick), world.room, world.tasks[numbers], 3 * horizon, np.random.default_rng(1))
    columns = (found.cell, found.action, found.reward, found.next_cell)
    for agent in range(len(numbers)):
        steps = list(zip(*(column[agent].tolist() for column in columns), strict=True))
        expected = chances_of_taken(name, yardstick, size, horizon, steps)
        np.testing.assert_allclose(found.probability[agent], expected, rtol=2e-3)
    assert found.probability.min() < 0.5


@pytest.mark.parametrize(("name", "size"), [("darkroom", 9), ("dark_key_to_door", 5)])
def test_what_is_not_meant_gets_no_chance_by_rounding(name, size):
    world = FAMILIES[name](size, 20)
    policy, learn = Yardstick("search").policy(world.room, world.tasks, 20)
    rarest = []

    def noted(state_N, number):
        rarest.append(min(part[part != 0].min() for part in policy(state_N, number)))
        return policy(state_N, number)

    class Noting:
        def policy(self, *_):
            return noted, learn

    record(Noting(), world.room, world.tasks, 20, np.random.default_rng(0))
    assert min(rarest) > 1e-4


@families
@pytest.mark.parametrize("yardstick", YARDSTICKS)
def test_a_yardsticks_histories_bring_what_it_brings(name, yardstick):
    size, horizon, n_episodes = 4, 12, 4
    world = FAMILIES[name](size, horizon)
    tasks = world.tasks[some_tasks(world, 50).repeat(40)]
    found = record(Yardstick(yardstick), world.room, tasks, n_episodes * horizon, np.random.default_rng(0))
    returns = found.reward.reshape(len(tasks), n_episodes, horizon).sum(axis=2)
    apart = returns - play(world.room, tasks, n_episodes, yardstick, np.random.default_rng(1))
    for episode_N in apart.T:  # tasks are the same, so the differences of one task's agents are independent
        assert not episode_N.any() or within(episode_N, 0)


def test_good_moves_lead_nearer_and_of_several_each_is_as_likely():
    size = 4
    chance_CGM = best_move_chances(FAMILIES["darkroom"](size).room)
    for cell in range(size**2):
        for goal in range(size**2):
            task = (None, [divmod(goal, size)], DIRECTIONS)
            good, _ = good_actions(task, divmod(cell, size), 0, size)
            assert chance_CGM[cell, goal].tolist() == [(move in good) / len(good) for move in range(5)]
