"""The rules of the dark rooms against one agent walked by hand, returns against all there are."""

from itertools import product

import numpy as np
import pytest

from tasks.in_context_rl import rooms
from tasks.in_context_rl.rooms import fold_split, shuffled_split
from tests.helpers import refusal
from trainers import registry

from .room_helpers import FAMILIES, families, rules, some_tasks, walked


def stepped(room, tasks_, action_TN):
    """Cells and rewards (T, N) of `step` in one episode."""
    cell, stage = np.full(len(tasks_), room.start), np.zeros(len(tasks_), dtype=np.int64)
    cells, rewards = [], []
    for action in action_TN:
        cell, stage, reward = room.step(tasks_, cell, stage, action)
        cells.append(cell)
        rewards.append(reward)
    return np.array(cells), np.array(rewards)


def walk(world, number, actions):
    """Places and rewards of one task's agent, by `step`."""
    cells, rewards = stepped(world.room, world.tasks[[number]], np.array(actions)[:, None])
    return [divmod(cell, world.room.size) for cell in cells[:, 0].tolist()], rewards[:, 0].tolist()


# --- the rules


@families
@pytest.mark.parametrize("size", [2, 3, 6, 9])
def test_every_agent_walks_as_one_that_is_walked_by_hand(name, size):
    world = FAMILIES[name](size)
    numbers = some_tasks(world, 60, size)
    actions = np.random.default_rng(size).integers(5, size=(300, len(numbers)))
    cells, rewards = stepped(world.room, world.tasks[numbers], actions)
    for place, number in enumerate(numbers.tolist()):
        expected = walked(name, size, number, actions[:, place].tolist())
        assert (cells[:, place].tolist(), rewards[:, place].tolist()) == expected
    assert rewards.sum() > 0


@pytest.mark.parametrize(("action", "corner"), [(0, (2, 1)), (1, (0, 1)), (2, (1, 2)), (3, (1, 0)), (4, (1, 1))])
def test_walls_stop_moves(action, corner):
    places, _ = walk(rooms.darkroom(3), 0, [action] * 3)
    assert places == [corner] * 3


def test_a_goal_is_worth_a_reward_for_every_step_that_ends_on_it():
    right = 1 * 3 + 2
    assert walk(rooms.darkroom(3), right, [2, 2, 4, 3, 2, 0])[1] == [1, 1, 1, 0, 1, 0]
    assert walk(rooms.darkroom(3), 4, [4, 0, 1])[1] == [1, 0, 1]


def test_actions_make_the_moves_of_their_task():
    world = rooms.permuted_darkroom(3)
    number = world.labels.index("moves 42013")  # stay, right, down, up, left
    places, rewards = walk(world, number, [0, 1, 1, 1, 2, 2, 3, 4, 2, 1, 0])
    assert places == [(0, 0), (0, 1), (0, 2), (0, 2), (1, 2), (2, 2), (1, 2), (1, 1), (2, 1), (2, 2), (2, 2)]
    assert rewards == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]


def test_key_and_door_are_worth_a_reward_once_each_and_the_door_only_after_the_key():
    world = rooms.key_to_door(3)
    number = world.labels.index("key 1,2 door 0,1")
    assert walk(world, number, [1, 0, 2, 2, 3, 1, 4, 0, 2])[1] == [0, 0, 1, 0, 0, 1, 0, 0, 0]
    number = world.labels.index("key 1,1 door 1,2")  # the start is no arrival
    assert walk(world, number, [2, 3, 2, 3])[1] == [0, 1, 1, 0]


def test_key_and_door_in_one_cell_take_two_steps():
    world = rooms.key_to_door(3)
    number = world.labels.index("key 0,1 door 0,1")
    assert walk(world, number, [1, 1, 1, 4])[1] == [1, 1, 0, 0]
    assert walk(world, number, [1, 0, 0, 1, 1])[1] == [1, 0, 0, 0, 1]
    assert walk(world, number, [1, 0, 4, 1, 4])[1] == [1, 0, 0, 1, 0]


@families
def test_tasks_are_all_there_are_each_once_and_named(name):
    for size in (2, 3, 5):
        world = FAMILIES[name](size)
        expected = {"darkroom": size**2, "darkroom_permuted": 120, "dark_key_to_door": size**4}[name]
        assert len(world.tasks) == len(set(world.labels)) == expected
        both = zip(world.tasks.goals_NG.tolist(), world.tasks.moves_NA.tolist(), strict=True)
        assert len({(*goals, *moves) for goals, moves in both}) == expected
        for number in some_tasks(world, 30).tolist():
            start, goals, directions = rules(name, size, number)
            assert divmod(world.room.start, size) == start
            assert [divmod(goal, size) for goal in world.tasks.goals_NG[number].tolist()] == list(goals)
            assert rooms.MOVES[world.tasks.moves_NA[number]].tolist() == [list(pair) for pair in directions]


# --- what is published, and what there is to be had


def test_the_darkroom_is_the_published_one():
    options, world = registry.load("darkroom").options(), rooms.darkroom()
    train, test = shuffled_split(len(world.tasks), options.train_share, options.split_seed)
    assert (options.size, options.horizon, len(train), len(test)) == (9, 20, 73, 8)
    assert sorted(train + test) == list(range(81))
    goals = [(4, 2), (5, 6), (6, 8), (7, 2), (3, 6), (0, 5), (5, 8), (5, 4)]
    assert [divmod(number, 9) for number in test] == goals
    optimal, by_chance = world.room.optimal_returns(world.tasks), world.room.random_returns(world.tasks)
    assert optimal[test].tolist() == [19, 18, 15, 16, 18, 16, 16, 20] and optimal[test].mean() == 17.25
    published = [0.456, 0.361, 0.090, 0.137, 0.361, 0.123, 0.123, 0.953]
    assert by_chance[test] == pytest.approx(published, abs=5.1e-4)
    assert by_chance[test].mean() == pytest.approx(0.325, abs=5e-4)
    assert optimal.mean() == pytest.approx(16.543, abs=5e-4)
    assert by_chance.mean() == pytest.approx(20 / 81)  # 0.247: a random walk that walls stop is anywhere alike


def test_the_permuted_darkroom_is_the_published_one():
    options, world = registry.load("darkroom_permuted").options(), rooms.permuted_darkroom()
    train, test = shuffled_split(len(world.tasks), options.train_share, options.split_seed)
    assert (options.size, options.horizon, len(train), len(test)) == (9, 50, 108, 12)
    assert set(world.room.optimal_returns(world.tasks).tolist()) == {35}  # 50 steps, of which 15 end elsewhere
    assert world.room.random_returns(world.tasks) == pytest.approx(0.024, abs=5e-4)


def test_the_key_to_door_room_is_the_published_one():
    options, world = registry.load("dark_key_to_door").options(), rooms.key_to_door()
    train, test = shuffled_split(len(world.tasks), options.train_share, options.split_seed)
    assert (options.size, options.horizon, len(train), len(test)) == (9, 50, 6233, 328)
    assert set(world.room.optimal_returns(world.tasks[test]).tolist()) == {2}
    assert world.room.random_returns(world.tasks).mean() == pytest.approx(0.269, abs=5e-4)


@pytest.mark.parametrize(("share", "n_folds"), [(0.889, 9), (0.9, 11), (0.5, 2)])
def test_folds_hold_out_every_task_and_share_none_with_training(share, n_folds):
    assert fold_split(81, share, 3, 0) == shuffled_split(81, share, 3)
    folds = [fold_split(81, share, 3, fold) for fold in range(n_folds)]
    for train, test in folds:
        assert sorted(train + test) == list(range(81)) and len(test) == len(folds[0][1])
    held_out = [task for _, test in folds for task in test]
    assert set(held_out) == set(range(81))
    twice = {
        task for task in held_out if held_out.count(task) > 1
    }  # by the last fold, if it reaches over the beginning
    assert twice <= set(folds[0][1]) and len(twice) == len(held_out) - 81
    with refusal("--test_fold", str(n_folds), "81", f"0 to {n_folds - 1}"):
        fold_split(81, share, 3, n_folds)


def test_where_nothing_is_held_out_there_is_one_fold():
    assert fold_split(10, 1.0, 0, 0)[1] == []
    with refusal("--test_fold 1", "0 to 0"):
        fold_split(10, 1.0, 0, 1)


@families
@pytest.mark.parametrize(("size", "horizon"), [(2, 3), (3, 4)])
def test_returns_are_those_of_all_sequences_of_actions(name, size, horizon):
    world = FAMILIES[name](size, horizon)
    by_chance, optimal = world.room.random_returns(world.tasks), world.room.optimal_returns(world.tasks)
    for number in some_tasks(world, 40).tolist():
        every = [sum(walked(name, size, number, actions)[1]) for actions in product(range(5), repeat=horizon)]
        assert by_chance[number] == pytest.approx(sum(every) / len(every), abs=1e-12)
        assert optimal[number] == max(every)
    assert optimal.max() > 0


@pytest.mark.parametrize(("size", "horizon"), [(2, 20), (3, 1), (4, 3), (9, 20), (15, 20)])
def test_the_best_way_to_a_goal_is_the_shortest(size, horizon):
    world = rooms.darkroom(size, horizon)
    found = world.room.optimal_returns(world.tasks)
    for number in range(size**2):
        (row, column), [goal], _ = rules("darkroom", size, number)
        distance = abs(row - goal[0]) + abs(column - goal[1])
        assert found[number] == max(0, min(horizon, horizon + 1 - distance))
