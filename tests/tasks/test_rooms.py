"""The dark rooms: rules against one agent walked by hand, returns against all there are, histories against a learner in
plain Python, rows against the lists that they are cut from."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import chain, pairwise, permutations, product
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from datasets import Dataset
from gymnasium.utils.env_checker import check_env
from scipy import stats
from torch.utils.data import DataLoader

from tasks.in_context_rl import rooms
from tasks.in_context_rl.encoding import FIELDS, encode, field_sizes
from tasks.in_context_rl.environments import WORLDS
from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.model import HistoryConfig
from tasks.in_context_rl.rooms import Room, optimal_returns, random_returns, shuffled_split, step
from tasks.in_context_rl.rows import HistoryRows
from tasks.in_context_rl.sources import FadingOracle, QLearning, record
from trainers import registry
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.sampling import row_uniform

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {
    "darkroom": rooms.darkroom,
    "darkroom_permuted": rooms.permuted_darkroom,
    "dark_key_to_door": rooms.key_to_door,
}
IDS = dict(zip(FAMILIES, WORLDS, strict=True))
DIRECTIONS = [(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)]  # down, up, right, left, stay
SMALL = {"size": 5, "n_streams": 3, "history_steps": 200, "eval_streams": 1}
TINY = {"size": 4, "horizon": 10, "n_streams": 2, "history_steps": 40, "eval_streams": 2, "n_val_tasks": 3}
LENGTHS = {0: 30, 1: 50, 3: 90}
"""Steps of a stretch by depth, with a window of 30 of which 10 stay."""
DEPTHS = "0:1,3:3,1:2"

families = pytest.mark.parametrize("name", FAMILIES)


def rules(name, size, number):
    """A task's start, goals and the direction of every action, from its number and what is published."""
    places = list(product(range(size), repeat=2))
    if name == "darkroom":
        return places[size**2 // 2 if size % 2 else size**2 // 2 + size // 2], [places[number]], DIRECTIONS
    if name == "darkroom_permuted":
        return places[0], [places[-1]], list(permutations(DIRECTIONS))[number]
    return rules("darkroom", size, 0)[0], list(product(places, repeat=2))[number], DIRECTIONS


def walked(name, size, number, actions):
    """Cells and rewards of one agent in one episode, without numpy."""
    (row, column), goals, directions = rules(name, size, number)
    left, cells, rewards = list(goals), [], []
    for action in actions:
        down, right = directions[action]
        if 0 <= row + down < size and 0 <= column + right < size:
            row, column = row + down, column + right
        rewarded = bool(left) and (row, column) == left[0]
        if rewarded and name == "dark_key_to_door":
            left.pop(0)
        cells.append(row * size + column)
        rewards.append(int(rewarded))
    return cells, rewards


def stepped(room, tasks_, action_TN):
    """Cells and rewards (T, N) of `step` in one episode."""
    cell, stage = np.full(len(tasks_), room.start), np.zeros(len(tasks_), dtype=np.int64)
    cells, rewards = [], []
    for action in action_TN:
        cell, stage, reward = step(room, tasks_, cell, stage, action)
        cells.append(cell)
        rewards.append(reward)
    return np.array(cells), np.array(rewards)


def walk(world, number, actions):
    """Places and rewards of one task's agent, by `step`."""
    cells, rewards = stepped(world.room, world.tasks[[number]], np.array(actions)[:, None])
    return [divmod(cell, world.room.size) for cell in cells[:, 0].tolist()], rewards[:, 0].tolist()


def some_tasks(world, count, seed=0):
    n_tasks = len(world.tasks)
    return np.random.default_rng(seed).choice(n_tasks, min(count, n_tasks), replace=False)


def built(name, **options):
    task = registry.load(name)
    return task.load("build_dataset")(task.options(**options))


def digests(found):
    return {name: dataset_folder.digest(split) for name, split in found.splits.items()}


def sizes_of(found):
    """Tasks of every split."""
    return {name: len(set(split["task"])) for name, split in found.splits.items()}


def within(found, expected, sigmas=4):
    """Whether the mean of a sample is the expected one."""
    return abs(found.mean() - expected) < sigmas * found.std(ddof=1) / np.sqrt(found.size)


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
    optimal, by_chance = optimal_returns(world.room, world.tasks), random_returns(world.room, world.tasks)
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
    assert set(optimal_returns(world.room, world.tasks).tolist()) == {35}  # 50 steps, of which 15 end elsewhere
    assert random_returns(world.room, world.tasks) == pytest.approx(0.024, abs=5e-4)


def test_the_key_to_door_room_is_the_published_one():
    options, world = registry.load("dark_key_to_door").options(), rooms.key_to_door()
    train, test = shuffled_split(len(world.tasks), options.train_share, options.split_seed)
    assert (options.size, options.horizon, len(train), len(test)) == (9, 50, 6233, 328)
    assert set(optimal_returns(world.room, world.tasks[test]).tolist()) == {2}
    assert random_returns(world.room, world.tasks).mean() == pytest.approx(0.269, abs=5e-4)


@families
@pytest.mark.parametrize(("size", "horizon"), [(2, 3), (3, 4)])
def test_returns_are_those_of_all_sequences_of_actions(name, size, horizon):
    world = FAMILIES[name](size, horizon)
    by_chance, optimal = random_returns(world.room, world.tasks), optimal_returns(world.room, world.tasks)
    for number in some_tasks(world, 40).tolist():
        every = [sum(walked(name, size, number, actions)[1]) for actions in product(range(5), repeat=horizon)]
        assert by_chance[number] == pytest.approx(sum(every) / len(every), abs=1e-12)
        assert optimal[number] == max(every)
    assert optimal.max() > 0


@pytest.mark.parametrize(("size", "horizon"), [(2, 20), (3, 1), (4, 3), (9, 20), (15, 20)])
def test_the_best_way_to_a_goal_is_the_shortest(size, horizon):
    world = rooms.darkroom(size, horizon)
    found = optimal_returns(world.room, world.tasks)
    for number in range(size**2):
        (row, column), [goal], _ = rules("darkroom", size, number)
        distance = abs(row - goal[0]) + abs(column - goal[1])
        assert found[number] == max(0, min(horizon, horizon + 1 - distance))


@families
def test_random_actions_in_the_environment_bring_what_is_computed(name):
    each, size, horizon = 3000, 5, 12
    world = FAMILIES[name](size, horizon)
    numbers = some_tasks(world, 4, seed=3)
    environment = gymnasium.make_vec(
        IDS[name], num_envs=4 * each, size=size, max_episode_steps=horizon, tasks=numbers.repeat(each)
    )
    environment.reset()
    rng, total = np.random.default_rng(0), np.zeros(4 * each)
    for _ in range(horizon):
        total += environment.step(rng.integers(5, size=4 * each))[1]
    for sample, expected in zip(total.reshape(4, each), random_returns(world.room, world.tasks[numbers]), strict=True):
        assert within(sample, expected, sigmas=3)


# --- environments


@families
def test_gymnasium_finds_nothing_wrong(name):
    for options in ({}, {"size": 4}, {"size": 5, "task": 7}):
        check_env(gymnasium.make(IDS[name], **options).unwrapped)


@families
def test_episodes_end_at_the_horizon_or_where_asked(name):
    usual = {"darkroom": 20}.get(name, 50)
    for options, horizon in (({}, usual), ({"max_episode_steps": 7}, 7)):
        one, many = gymnasium.make(IDS[name], **options), gymnasium.make_vec(IDS[name], num_envs=2, **options)
        one.reset(seed=0)
        many.reset(seed=0)
        for number in range(1, 2 * horizon + 1):
            assert one.step(4)[3] == (number % horizon == 0)
            assert many.step(np.full(2, 4))[3].tolist() == [number % horizon == 0] * 2
            if number % horizon == 0:
                one.reset()


@families
@pytest.mark.parametrize("size", [2, 5, 9])
def test_many_agents_at_once_are_as_many_alone(name, size):
    horizon, numbers = 9, some_tasks(FAMILIES[name](size), 12, seed=size)
    count = len(numbers)
    many = gymnasium.make_vec(IDS[name], num_envs=count, size=size, max_episode_steps=horizon, tasks=numbers)
    alone = [gymnasium.make(IDS[name], size=size, max_episode_steps=horizon, task=int(number)) for number in numbers]
    seen, info = many.reset(seed=0)
    first = [environment.reset() for environment in alone]
    assert seen.tolist() == [place.tolist() for place, _ in first]
    assert info["task"].tolist() == [told["task"] for _, told in first] == numbers.tolist()
    for actions in np.random.default_rng(size).integers(5, size=(3 * horizon, count)):
        seen, reward, terminated, truncated, info = many.step(actions)
        places, *others, _ = zip(*(one.step(action) for one, action in zip(alone, actions, strict=True)), strict=True)
        assert [list(part) for part in others] == [part.tolist() for part in (reward, terminated, truncated)]
        assert many.observation_space.contains(seen) and info["task"].tolist() == numbers.tolist()
        assert ("final_obs" in info) == truncated.all() == truncated.any()
        after = info["final_obs"] if truncated.all() else seen
        assert after.tolist() == [place.tolist() for place in places]
        if truncated.all():
            assert seen.tolist() == [environment.reset()[0].tolist() for environment in alone]


@families
def test_a_reset_in_the_middle_begins_a_whole_episode(name):
    many = gymnasium.make_vec(IDS[name], num_envs=3, size=5, max_episode_steps=6)
    start, _ = many.reset(seed=1)
    for _ in range(4):
        many.step(np.array([0, 2, 0]))
    assert many.reset()[0].tolist() == start.tolist()
    assert [bool(many.step(np.array([0, 1, 2]))[3].all()) for _ in range(6)] == [False] * 5 + [True]


@families
def test_equal_seeds_are_equal_episodes(name):
    def told(environment, seed, action):
        """Tasks, observations and rewards of four episodes."""
        found = []
        for episode in range(4):
            seen, info = environment.reset(seed=seed if episode == 0 else None)
            found.append([np.array(info["task"]).tolist(), seen.tolist()])
            for number in range(6):
                seen, reward, *_ = environment.step(action(number))
                found[-1] += [seen.tolist(), np.array(reward).tolist()]
        return found

    def make():
        return gymnasium.make(IDS[name], size=4), gymnasium.make_vec(IDS[name], num_envs=5, size=4)

    for one, other, action in zip(make(), make(), (lambda n: n % 5, lambda n: (np.arange(5) + n) % 5), strict=True):
        usual = told(one, 7, action)
        assert told(other, 7, action) == told(one, 7, action) == usual
        assert told(other, 8, action) != usual
        assert len({str(episode[0]) for episode in usual}) > 1  # another reset, other tasks


def test_every_task_is_drawn_about_equally_often():
    environment = gymnasium.make_vec(IDS["darkroom"], num_envs=4000, size=3)
    counts = np.bincount(environment.reset(seed=0)[1]["task"], minlength=9)
    assert stats.chisquare(counts).pvalue > 1e-3
    one = gymnasium.make(IDS["darkroom"], size=3)
    assert {one.reset(seed=seed)[1]["task"] for seed in range(80)} == set(range(9))


@families
def test_tasks_that_do_not_exist_are_refused(name):
    n_tasks = len(FAMILIES[name](3).tasks)
    for number in (-1, n_tasks):
        with pytest.raises(ValueError, match=f"tasks are numbered 0 to {n_tasks - 1}, got {number}"):
            gymnasium.make(IDS[name], size=3, task=number)
        with pytest.raises(ValueError, match=f"tasks are numbered 0 to {n_tasks - 1}, got"):
            gymnasium.make_vec(IDS[name], num_envs=2, size=3, tasks=np.array([0, number]))
    for number in (0, n_tasks - 1):
        assert gymnasium.make(IDS[name], size=3, task=number).reset()[1]["task"] == number


# --- sources

LEARNERS = [
    QLearning(1.0, 0.9, 0.5, 0.1, 0.0, 1.0),
    QLearning(0.3, 0.8, 0.0, 0.6, 0.1, 0.5),
    FadingOracle(1.0, 0.0, 0.7),
]


def share_of_chance(source, number, n_steps):
    """What is random of a step's actions: a straight line, then level."""
    faded = number / (source.noise_share * n_steps)
    if faded >= 1:
        return source.noise_end
    return (1 - faded) * source.noise_start + faded * source.noise_end


def learnt(source, room, cells, actions, rewards, next_cells):
    """Probabilities of the five actions in every step of one learner, by a table that is filled step by step."""
    table, found, reached = {}, [], 0
    for number, (cell, action, reward, after) in enumerate(zip(cells, actions, rewards, next_cells, strict=True)):
        reached = reached if number % room.horizon else 0
        values = table.setdefault((reached, cell), [np.float32(source.initial)] * 5)
        ties = [value == max(values) for value in values]
        chance = share_of_chance(source, number, len(cells))
        found.append([chance / 5 + (1 - chance) * tie / sum(ties) for tie in ties])
        reached += reward * room.once
        best = max(table.get((reached, after), [np.float32(source.initial)]))
        target = np.float32(reward) + np.float32(source.discount) * best
        values[action] += np.float32(source.step_size) * (target - values[action])
    return np.array(found)


@families
@pytest.mark.parametrize("source", LEARNERS)
def test_equal_seeds_are_equal_histories(name, source):
    world = FAMILIES[name](3, 10)
    found = [
        record(source, world.room, world.tasks[np.arange(9)], 50, np.random.default_rng(seed)) for seed in (1, 1, 2)
    ]
    for column in STEP_COLUMNS:
        one, same, _ = (getattr(history, column) for history in found)
        assert one.shape == (9, 50) and one.dtype == (np.float16 if column == "probability" else np.uint8)
        assert one.tobytes() == same.tobytes()
    assert (found[0].action != found[2].action).mean() > 0.2


@families
@pytest.mark.parametrize("source", LEARNERS)
def test_histories_are_episodes_from_the_start_by_the_rules(name, source):
    horizon, size = 11, 4
    world = FAMILIES[name](size, horizon)
    numbers = some_tasks(world, 10)
    found = record(source, world.room, world.tasks[numbers], 5 * horizon, np.random.default_rng(0))
    for place, number in enumerate(numbers.tolist()):
        cells, actions, rewards, after = (getattr(found, column)[place].tolist() for column in STEP_COLUMNS[:4])
        for first in range(0, 5 * horizon, horizon):
            episode = slice(first, first + horizon)
            walk_cells, walk_rewards = walked(name, size, number, actions[episode])
            assert after[episode] == walk_cells and rewards[episode] == walk_rewards
            assert cells[episode] == [world.room.start, *walk_cells[:-1]]


@families
@pytest.mark.parametrize("source", LEARNERS[:2])
def test_recorded_probabilities_are_those_of_a_learner_in_plain_python(name, source):
    world = FAMILIES[name](3, 10)
    numbers = some_tasks(world, 8)
    found = record(source, world.room, world.tasks[numbers], 400, np.random.default_rng(5))
    chances, chosen = [], []
    for place in range(len(numbers)):
        columns = [getattr(found, column)[place].tolist() for column in STEP_COLUMNS]
        chances.append(learnt(source, world.room, *columns[:4]))
        chosen.append(np.eye(5)[columns[1]])
        np.testing.assert_allclose(columns[4], chances[-1][np.arange(400), columns[1]], rtol=1e-3, atol=1e-6)
    assert found.probability.min() > 0 and len(np.unique(found.probability)) > 10
    chance, taken = np.concatenate(chances), np.concatenate(chosen)
    assert not taken[chance == 0].any()
    for low, high in pairwise([0, 0.05, 0.15, 0.3, 0.6, 0.95, 1]):  # as often taken as said, seldom and often alike
        among = (chance > low) & (chance <= high) & (chance < 1)
        if among.sum() > 100:
            spread = np.sqrt((chance * (1 - chance))[among].sum())
            assert abs((taken - chance)[among].sum()) < 4 * spread
    for action in range(5):
        spread = np.sqrt((chance * (1 - chance))[:, action].sum())
        assert abs((taken - chance)[:, action].sum()) < 4 * spread


@families
@pytest.mark.parametrize("kind", [QLearning, FadingOracle])
def test_actions_come_as_often_as_their_probability_says(name, kind):
    noise = (0.5, 0.5, 1.0)
    source = QLearning(0.5, 0.9, 0.5, *noise) if kind is QLearning else FadingOracle(*noise)
    world = FAMILIES[name](4, 20)
    chosen = world.tasks[some_tasks(world, 16).repeat(4)]
    found = record(source, world.room, chosen, 400, np.random.default_rng(2))
    probability = found.probability.astype(np.float64)
    assert within(1 / probability, 5)  # five actions, each 1 / p with the chance p
    if kind is FadingOracle:
        best = probability > 0.5
        assert np.allclose(np.unique(probability), [0.1, 0.6], atol=1e-3) and within(best, 0.6)
        if name == "darkroom_permuted":  # the right action is any of the five, task by task
            assert len(np.unique(found.action[best])) > 3


def test_wrong_actions_of_an_oracle_are_any_of_the_others_alike():
    world = rooms.darkroom(3, 20)
    corner = world.tasks[[8] * 300]
    found = record(FadingOracle(0.5, 0.5, 1.0), world.room, corner, 200, np.random.default_rng(4))
    there = (found.cell == 8) & (found.probability < 0.5)
    counts = np.bincount(found.action[there], minlength=5)
    assert counts[4] == 0 and counts.sum() > 5000 and stats.chisquare(counts[:4]).pvalue > 1e-3


@families
@pytest.mark.parametrize(("size", "horizon"), [(2, 5), (5, 20), (6, 3)])
def test_an_oracle_without_noise_reaches_the_optimum(name, size, horizon):
    world = FAMILIES[name](size, horizon)
    chosen = world.tasks[some_tasks(world, 300)]
    found = record(FadingOracle(0, 0, 1.0), world.room, chosen, 2 * horizon, np.random.default_rng(0))
    optimal = optimal_returns(world.room, chosen)
    returns = found.reward.reshape(-1, 2, horizon).sum(axis=2)
    assert (returns == optimal[:, None]).all()
    assert (found.probability == 1).all()


@families
def test_q_learning_improves(name):
    options = registry.load(name).options()
    world = FAMILIES[name](5, 20)
    chosen = world.tasks[some_tasks(world, 40)]
    source = QLearning(
        options.q_step_size, options.q_discount, options.q_initial,
        0.1, options.noise_end, options.noise_share,
    )  # fmt: skip
    found = record(source, world.room, chosen, 4000, np.random.default_rng(0))
    returns = found.reward.reshape(len(chosen), 200, 20).sum(axis=2)
    optimal = optimal_returns(world.room, chosen)
    first, last = (returns[:, part].mean() / optimal.mean() for part in (slice(20), slice(180, None)))
    assert last > 0.9 and (last > first + 0.1)
    assert returns[:, 0].mean() < 0.6 * optimal.mean()


def test_a_fading_oracle_improves_and_then_stays_as_it_is():
    world = rooms.darkroom(9, 20)
    found = record(FadingOracle(1.0, 0.2, 0.5), world.room, world.tasks, 400, np.random.default_rng(0))
    returns = found.reward.reshape(81, 20, 20).sum(axis=2)
    assert abs(returns[:, 0].mean() - random_returns(world.room, world.tasks).mean()) < 0.3
    late = found.probability[:, 200:].astype(np.float64)
    assert np.allclose(np.unique(late), [0.04, 0.84], atol=1e-3)
    for number in (0, 50, 150, 199):
        chance = 1 - 0.8 * number / 200
        assert set(found.probability[:, number].tolist()) <= {
            *np.array([chance / 5, 1 - 0.8 * chance]).astype(np.float32).astype(np.float16).tolist()
        }


# --- datasets


@families
def test_splits_are_the_published_ones_and_share_no_task(name):
    sizes = {"darkroom": (73, 8, 8), "darkroom_permuted": (108, 12, 12), "dark_key_to_door": (594, 64, 31)}[name]
    whole, n_val, n_test = sizes
    options = {"size": 5} if name == "dark_key_to_door" else {}  # 6,561 tasks take seconds
    options |= {"n_streams": 2, "eval_streams": 1, "history_steps": 50 if name != "darkroom" else 20}
    found = built(name, **options)
    defaults = registry.load(name).options(**options)
    order = shuffled_split(whole + n_test, defaults.train_share, defaults.split_seed)
    numbers = {split: list(dict.fromkeys(rows["task"])) for split, rows in found.splits.items()}
    assert numbers == {"train": order[0][:-n_val], "validation": order[0][-n_val:], "test": order[1]}
    assert len(order[0]) == whole and len(order[1]) == n_test
    assert sorted(chain(*numbers.values())) == list(range(whole + n_test))
    world = FAMILIES[name](defaults.size, defaults.horizon)
    for split, rows in found.splits.items():
        assert rows["task"] == [number for number in numbers[split] for _ in range(2 if split == "train" else 1)]
        task = np.array(rows["task"])
        assert rows["label"] == [world.labels[number] for number in task]
        assert rows["goals"] == world.tasks.goals_NG[task].tolist()
        assert rows["moves"] == world.tasks.moves_NA[task].tolist()
        assert np.allclose(rows["random_return"], random_returns(world.room, world.tasks[task]))
        assert rows["optimal_return"] == optimal_returns(world.room, world.tasks[task]).tolist()
    assert found.facts["adjustments"] == [] and found.facts["room"]["horizon"] == defaults.horizon
    if name == "darkroom":
        assert found.facts["tasks"]["test"] == [
            "goal 4,2", "goal 5,6", "goal 6,8", "goal 7,2", "goal 3,6", "goal 0,5", "goal 5,8", "goal 5,4"
        ]  # fmt: skip


@families
def test_rows_are_replayable_with_what_stands_in_them(name):
    for rows in built(name, **TINY).splits.values():
        for row in rows.to_list()[::7]:
            assert {len(row[column]) for column in STEP_COLUMNS} == {40}
            for first in range(0, 40, 10):
                cells, rewards = walked(name, 4, row["task"], row["action"][first : first + 10])
                assert (row["next_cell"][first : first + 10], row["reward"][first : first + 10]) == (cells, rewards)


@families
@pytest.mark.parametrize("keep_every", [2, 4])
def test_kept_episodes_are_whole_and_evenly_spaced(name, keep_every):
    options = {**TINY, "history_steps": 120}
    usual, fewer = built(name, **options), built(name, **options, keep_every=keep_every)
    for split, rows in usual.splits.items():
        kept = fewer.splits[split].to_dict()
        for column, values in rows.to_dict().items():
            if column in STEP_COLUMNS:
                episodes = [[row[first : first + 10] for first in range(0, 120, 10)] for row in values]
                values = [[*chain(*(row[number] for number in range(0, 12, keep_every)))] for row in episodes]
            assert kept[column] == values


def test_equal_options_are_equal_rows_and_another_seed_is_other_rows():
    usual = digests(built("darkroom", **TINY))
    assert digests(built("darkroom", **TINY)) == usual
    others = [digests(built("darkroom", **TINY, dataset_seed=seed)) for seed in (0, 43, 2**63 - 1)]
    for split in usual:
        assert len({found[split] for found in [usual, *others]}) == 4


def test_splits_of_one_dataset_are_drawn_apart():
    options = {**TINY, "n_val_tasks": 2, "max_train_tasks": 2}
    by_chance = {"source": "fading_oracle", "noise_start": 1.0, "noise_end": 1.0}
    splits = built("darkroom", **options, **by_chance).splits
    assert {len(rows) for rows in splits.values()} == {4}
    assert len({tuple(row["action"]) for rows in splits.values() for row in rows.to_list()}) == 12


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"history_steps": 45}, "45 is no multiple of 10 .* e.g. 50"),
        ({"history_steps": 40, "keep_every": 3}, "40 is no multiple of 30 .* e.g. 60"),
        ({"history_steps": 9}, "9 is no multiple of 10 .* e.g. 10"),
    ],
)
def test_histories_that_are_no_whole_episodes_are_refused(options, least):
    with pytest.raises(UserError, match=f"--history_steps {least}"):
        built("darkroom", **{**TINY, **options})


def test_held_out_tasks_that_leave_none_to_train_on_are_refused():
    for count in (14, 15, 10_000):  # of 16 tasks 14 train
        with pytest.raises(UserError, match=rf"--n_val_tasks {count} leaves none of the 14 training tasks .*\(of 16, "):
            built("darkroom", **{**TINY, "n_val_tasks": count})
    assert sizes_of(built("darkroom", **{**TINY, "n_val_tasks": 13})) == {"train": 1, "validation": 13, "test": 2}


@pytest.mark.parametrize(
    ("options", "splits"),
    [
        ({"n_val_tasks": 0}, {"train": 14, "test": 2}),
        ({"train_share": 1}, {"train": 13, "validation": 3}),
        ({"train_share": 1, "n_val_tasks": 0}, {"train": 16}),
    ],
)
def test_splits_that_nobody_asked_for_are_not_there(options, splits):
    assert sizes_of(built("darkroom", **{**TINY, **options})) == splits


def test_fewer_training_tasks_leave_the_other_splits_as_they_are_and_are_stated():
    usual, fewer = built("darkroom", **TINY), built("darkroom", **TINY, max_train_tasks=4)
    assert fewer.facts["adjustments"] == ["7 of 11 training tasks are left out (--max_train_tasks)"]
    assert list(dict.fromkeys(fewer.splits["train"]["task"])) == list(dict.fromkeys(usual.splits["train"]["task"]))[:4]
    for split in ("validation", "test"):
        assert digests(fewer)[split] == digests(usual)[split]
    for enough in (11, 12):
        same = built("darkroom", **TINY, max_train_tasks=enough)
        assert digests(same) == digests(usual) and same.facts["adjustments"] == []


def test_more_streams_leave_the_other_splits_as_they_are():
    usual, more = digests(built("darkroom", **TINY)), digests(built("darkroom", **{**TINY, "n_streams": 3}))
    assert [name for name in usual if usual[name] != more[name]] == ["train"]


# --- steps


def decoded(size, ids):
    """Fields of encoded steps; None is nothing yet."""
    sizes = [size, size, size + 1, size + 1, 6, 3, 2]
    values = [number - sum(sizes[:place]) for place, number in enumerate(ids)]
    assert all(0 <= value < most for value, most in zip(values, sizes, strict=True))
    nothing = [None, None, size, size, 5, 2, None]
    return [None if value == none else value for value, none in zip(values, nothing, strict=True)]


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
    found = encode(size, *columns, begins)
    assert found.dtype == np.int64 and found.shape == (len(known), len(FIELDS))
    for ids, (cell, arrived, action, reward), begin in zip(found.tolist(), known, begins.tolist(), strict=True):
        before = [None] * 4 if arrived < 0 else [*divmod(arrived, size), action, reward]
        assert decoded(size, ids) == [*divmod(cell, size), *before, begin]
    of_field = [set(column) for column in found.T.tolist()]
    assert [len(ids) for ids in of_field] == field_sizes(size) == [size, size, size + 1, size + 1, 6, 3, 2]
    assert set().union(*of_field) == set(range(sum(field_sizes(size))))  # all of them, none in two fields


def test_steps_are_encoded_in_arrays_of_any_shape():
    rng = np.random.default_rng(0)
    given = [rng.integers(most, size=(3, 4)) for most in (25, 25, 5, 2, 2)]
    found = encode(5, *given)
    assert found.shape == (3, 4, 7)
    assert found.reshape(12, 7).tolist() == encode(5, *(part.ravel() for part in given)).tolist()


# --- rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    task = registry.load("darkroom")
    return dataset_folder.build_or_load(task, task.options(**SMALL), tmp_path_factory.mktemp("rooms"))


def rows_of(data, split="train", table=None, depth_weights=DEPTHS, **options):
    config = HistoryConfig("compressed_ad", size=5, window=30, keep=10, depth_weights=depth_weights)
    table = data.splits[split] if table is None else table
    return HistoryRows(split, table, Room(**data.metadata["room"]), config, {**data.metadata["options"], **options})


@pytest.fixture
def train(data):
    return rows_of(data)


@pytest.fixture(scope="module")
def expected(data):
    """Split -> row -> every step of the whole history as its fields are read back, from the table's lists."""
    return {split: [fields_of(row) for row in table.to_list()] for split, table in data.splits.items()}


def fields_of(row):
    found = []
    for number, cell in enumerate(row["cell"]):
        before = [None] * 4
        if number:
            before = [*divmod(row["next_cell"][number - 1], 5), row["action"][number - 1], row["reward"][number - 1]]
        found.append([*divmod(cell, 5), *before, number % 20 == 0])
    return found


def read_back(batch):
    return [[decoded(5, ids) for ids in row] for row in batch["steps"].tolist()]


def test_batches_are_stretches_of_the_histories_of_one_length(train, data, expected):
    table, seen = data.splits["train"].to_list(), Counter()
    for epoch in range(6):
        train.set_epoch(epoch)
        for rows in np.random.default_rng(epoch).permutation(len(train)).reshape(-1, 6).tolist():
            depth = train.draw_depth(rows)
            length = LENGTHS[depth]
            batch = train.__getitems__(rows)
            assert batch.keys() == {"steps", "labels"}
            assert batch["steps"].shape == (6, length, 7) and batch["labels"].shape == (6, length)
            assert str(batch["steps"].dtype) == str(batch["labels"].dtype) == "torch.int64"
            starts = train.draw_start(np.array(rows), length).tolist()
            for row, start, fields, labels in zip(
                rows, starts, read_back(batch), batch["labels"].tolist(), strict=True
            ):
                assert 0 <= start <= 200 - length
                assert fields == expected["train"][row][start : start + length]
                assert labels == table[row]["action"][start : start + length]
                nothing = [number for number, step_ in enumerate(fields) if None in step_]
                assert nothing == ([0] if start == 0 else [])
            seen[depth] += 6
    assert seen.keys() == LENGTHS.keys()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_evaluated_are_whole_histories(split, data, expected):
    rows = rows_of(data, split)
    chosen = list(range(len(rows)))[::-1]
    batch = rows.__getitems__(chosen)
    assert read_back(batch) == [expected[split][row] for row in chosen]
    assert batch["labels"].tolist() == [data.splits[split][row]["action"] for row in chosen]
    rows.set_epoch(5)
    assert all(bool((part == batch[name]).all()) for name, part in rows.__getitems__(chosen).items())


def test_a_row_is_the_same_stretch_in_every_batch_of_its_depth(train, data):
    by_depth = {}
    for row in range(len(train)):
        by_depth.setdefault(train.draw_depth([row]), []).append(row)
    assert len(by_depth) == 3
    for leaders in by_depth.values():
        found = {}
        for leader in leaders:
            for others in ([], [7, 1], [1, 40, 7, 3]):
                batch = rows_of(data).__getitems__([leader, *others])
                for place, row in enumerate([leader, *others]):
                    stretch = batch["steps"][place].tolist(), batch["labels"][place].tolist()
                    assert found.setdefault(row, stretch) == stretch


def test_batches_are_the_same_in_another_process(train):
    chosen = [[5, 3, 9], [30, 3], [7], [1, 2]]
    train.set_epoch(2)
    loader = DataLoader(train, batch_sampler=chosen, collate_fn=lambda batch: batch, num_workers=1)
    for batch, rows in zip(loader, chosen, strict=True):
        assert all(torch.equal(part, batch[name]) for name, part in train.__getitems__(rows).items())


def test_rows_and_draws_are_the_same_under_another_hash_seed(data):
    code = f"""
import json
import numpy as np
from trainers import registry
from trainers.folders import dataset_folder
from trainers.sampling import row_uniform
task = registry.load("darkroom")
splits = task.load("build_dataset")(task.options(**{SMALL!r})).splits
digests = {{name: dataset_folder.digest(table) for name, table in splits.items()}}
print(json.dumps([digests, row_uniform([42, 2], "start", np.arange(50), 2).tolist()]))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert json.loads(done.stdout) == [
        {name: facts["sha256"] for name, facts in data.metadata["splits"].items()},
        row_uniform([42, 2], "start", np.arange(50), 2).tolist(),
    ]


def test_depths_come_as_often_as_their_weights_say(train):
    counts = Counter()
    for epoch in range(70):
        train.set_epoch(epoch)
        counts.update(train.draw_depth([row]) for row in range(len(train)))
    n = sum(counts.values())
    assert stats.chisquare([counts[0], counts[1], counts[3]], [n / 6, n * 2 / 6, n * 3 / 6]).pvalue > 1e-3


def test_stretches_begin_anywhere_and_those_beyond_an_end_are_moved_inside(train):
    n_steps, n_rows = 200, 60_000
    for length in LENGTHS.values():
        starts = np.bincount(train.draw_start(np.arange(n_rows), length), minlength=n_steps - length + 1)
        every = Counter(min(max(0, first), n_steps - length) for first in range(-length, n_steps + 1))
        assert len(starts) == len(every)
        weight = np.array([every[start] for start in range(len(starts))]) / (n_steps + length + 1)
        assert stats.chisquare(starts, weight * n_rows).pvalue > 1e-3


def test_no_step_is_in_fewer_stretches_than_those_in_the_middle(train):
    n_steps, n_rows = 200, 60_000
    for length in LENGTHS.values():
        covered = np.zeros(n_steps)
        for start, count in Counter(train.draw_start(np.arange(n_rows), length).tolist()).items():
            covered[start : start + length] += count
        assert covered.min() > 0.93 * n_rows * length / (n_steps + length + 1)


def test_stretches_as_long_as_a_history_are_all_of_it(data):
    rows = rows_of(data, depth_weights="0:1,8:1")  # 30 + 8 * 20 = 190 of 200 steps
    assert set(rows.draw_start(np.arange(3000), 190).tolist()) == set(range(11))
    with pytest.raises(UserError, match="a batch of depth 9 takes 210 steps, and the histories have 200"):
        rows_of(data, depth_weights="0:1,9:1")
    assert len(rows_of(data, "test", depth_weights="0:1,9:1")) == 3  # whole histories, however long


def test_other_epochs_and_seeds_are_other_draws(data):
    def draws(epoch, **options):
        rows = rows_of(data, **options)
        rows.set_epoch(epoch)
        return rows.draw_start(np.arange(2000), 30), [rows.draw_depth([row]) for row in range(300)]

    usual, usual_depths = draws(0)
    assert draws(0)[0].tolist() == usual.tolist() and draws(0)[1] == usual_depths
    for other, depths in (draws(1), draws(2), draws(0, dataset_seed=43)):
        assert (other != usual).mean() > 0.9 and abs(np.corrcoef(other, usual)[0, 1]) < 0.1
        assert np.mean(np.array(depths) != usual_depths) > 0.4


def test_starts_do_not_follow_from_the_depth(train):
    starts = train.draw_start(np.arange(2000), 30)
    depth = np.array([train.draw_depth([row]) for row in range(2000)])
    assert stats.kruskal(*(starts[depth == one] for one in LENGTHS)).pvalue > 1e-3


def test_tasks_and_returns_are_those_of_the_table(train, data):
    found, facts = train.tasks()
    table = data.splits["train"].to_list()
    first = {row["task"]: (place, row) for place, row in reversed(list(enumerate(table)))}
    in_order = sorted(first.values(), key=lambda pair: pair[0])
    assert facts["row"].tolist() == [place for place, _ in in_order] and len(in_order) == 14
    assert found.goals_NG.tolist() == [row["goals"] for _, row in in_order]
    assert found.moves_NA.tolist() == [row["moves"] for _, row in in_order]
    for name in ("task", "label", "optimal_return"):
        assert facts[name].tolist() == [row[name] for _, row in in_order]
    assert facts["random_return"] == pytest.approx([row["random_return"] for _, row in in_order], rel=1e-6)
    assert train.returns().tolist() == [
        [sum(row["reward"][first : first + 20]) for first in range(0, 200, 20)] for row in table
    ]


def test_chosen_rows_of_a_table_are_rows(train, data):
    for chosen in ([4, 5, 6, 7], [9, 2, 30], [41]):
        some = rows_of(data, table=data.splits["train"].select(chosen))
        for name in STEP_COLUMNS:
            assert some.columns[name].tolist() == train.columns[name][chosen].tolist()
        assert some.task_N.tolist() == train.task_N[chosen].tolist()


def damaged(data, change):
    columns = data.splits["train"].select(range(3)).to_dict()
    change(columns)
    return Dataset.from_dict(columns)


def put(name, value):
    return lambda columns: columns[name][1].__setitem__(-1, value)


def cut(*lengths):
    def change(columns):
        for name in STEP_COLUMNS:
            columns[name] = [(row * 2)[:length] for row, length in zip(columns[name], lengths, strict=True)]

    return change


@pytest.mark.parametrize("name", [*STEP_COLUMNS, "task"])
def test_missing_columns_are_refused(name, data):
    with pytest.raises(UserError, match=f"split train has no .*{name}.*; build the dataset again"):
        rows_of(data, table=data.splits["train"].remove_columns(name))


@pytest.mark.parametrize(
    ("name", "value"),
    [("action", 7), ("action", 5), ("action", -1), ("reward", 2), ("cell", 25), ("next_cell", 25), ("cell", -1)],
)
def test_values_that_do_not_exist_are_refused(name, value, data):
    assert len(rows_of(data, table=damaged(data, lambda columns: None))) == 3
    with pytest.raises(UserError, match=rf"the column {name} of split train is not of whole numbers below \d+"):
        rows_of(data, table=damaged(data, put(name, value)))


@pytest.mark.parametrize("name", STEP_COLUMNS)
def test_gaps_are_refused(name, data):
    for change in (put(name, None), lambda columns: columns[name].__setitem__(1, None)):
        with pytest.raises(UserError, match=f"column {name}( of split train|, or one with gaps)"):
            rows_of(data, table=damaged(data, change))


@pytest.mark.parametrize(
    "change",
    [
        cut(200, 199, 200),
        cut(190, 190, 190),
        cut(0, 0, 0),
        lambda columns: columns.update(action=[3, 3, 3]),
        lambda columns: columns.update(action=["a", "b", "c"]),
        lambda columns: columns.update(cell=[[1.0] * 200] * 3),
        lambda columns: columns.update(cell=[["1"] * 200] * 3),
        lambda columns: [values.clear() for values in columns.values()],
        lambda columns: columns.update(cell=[[1] * 180, [1] * 220, [1] * 200]),
        lambda columns: columns.pop("label"),
        lambda columns: columns.update(goals=[[25], [0], [1]]),
        lambda columns: columns.update(goals=[[1, 2]] * 3),
        lambda columns: columns.update(moves=[[0, 1, 2, 3, 3]] * 3),
        lambda columns: columns.update(task=[None, 1, 2]),
        lambda columns: columns.update(probability=[[float("nan")] * 200] * 3),
    ],
)
def test_columns_that_are_no_histories_are_refused(change, data):
    with pytest.raises(UserError, match=r"split train.*; build (it|the dataset) again"):
        rows_of(data, table=damaged(data, change))


# --- numbers that belong to a row


def test_drawn_numbers_are_uniform():
    for seeds, use in (([42, 0], "start"), ([0, 7], "depth"), ([2**63 - 1, 2**31], "x")):
        found = row_uniform(seeds, use, np.arange(4000), 5)
        assert found.shape == (4000, 5) and found.dtype == np.float64
        assert found.min() >= 0 and found.max() < 1
        assert within(found, 0.5)
        for sample in (found.ravel(), found[:, 0], found[17:300:3].ravel()):
            assert stats.kstest(sample, "uniform").pvalue > 1e-3
        lines = [found[:-1, 0], found[1:, 0], found[:-1, 1]]  # the next row, the next number
        assert np.abs(np.corrcoef(lines) - np.eye(3)).max() < 4 / np.sqrt(4000)
        assert len(np.unique(found)) == found.size
    by_epoch = np.array([row_uniform([42, epoch], "start", np.array([3]), 1)[0, 0] for epoch in range(1500)])
    assert stats.kstest(by_epoch, "uniform").pvalue > 1e-3


def test_drawn_numbers_follow_from_seeds_use_and_row_alone():
    rows, usual = np.array([8, 0, 3, 2**31]), row_uniform([42, 1], "start", np.array([8, 0, 3, 2**31]), 4)
    assert row_uniform([42, 1], "start", rows, 4).tolist() == usual.tolist()
    for place, row in enumerate(rows.tolist()):
        for others in ([row], [5, row, 6], [row, row], [1, 2, 3, 4, row]):
            for kind in (np.int64, np.int32, np.uint64):
                again = row_uniform([42, 1], "start", np.array(others, dtype=kind if row < 2**31 else np.int64), 4)
                assert again[others.index(row)].tolist() == usual[place].tolist()
    assert row_uniform([42, 1], "start", rows, 2).tolist() == usual[:, :2].tolist()  # however many are drawn


def test_drawn_numbers_change_with_seeds_use_and_row():
    rows = np.arange(1000)
    given = [
        ([42, 1], "start"), ([42, 2], "start"), ([43, 1], "start"), ([1, 42], "start"), ([42, 1], "depth"),
        ([42, 1], "tstar"), ([42], "start"), ([42, 1, 0], "start"), ([42 + 2**32, 1], "start"),
    ]  # fmt: skip
    found = [row_uniform(seeds, use, rows, 1)[:, 0] for seeds, use in given]
    assert len(np.unique(found)) == len(given) * 1000
    assert np.abs(np.corrcoef(found) - np.eye(len(given))).max() < 5 / np.sqrt(1000)
