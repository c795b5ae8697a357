"""Histories against a learner in plain Python."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from tasks.in_context_rl import rooms
from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.sources import FadingOracle, QLearning, record
from tests.helpers import within
from trainers import registry

from .room_helpers import FAMILIES, families, some_tasks, walked

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
    optimal = world.room.optimal_returns(chosen)
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
    optimal = world.room.optimal_returns(chosen)
    first, last = (returns[:, part].mean() / optimal.mean() for part in (slice(20), slice(180, None)))
    assert last > 0.9 and (last > first + 0.1)
    assert returns[:, 0].mean() < 0.6 * optimal.mean()


def test_a_fading_oracle_improves_and_then_stays_as_it_is():
    world = rooms.darkroom(9, 20)
    found = record(FadingOracle(1.0, 0.2, 0.5), world.room, world.tasks, 400, np.random.default_rng(0))
    returns = found.reward.reshape(81, 20, 20).sum(axis=2)
    assert abs(returns[:, 0].mean() - world.room.random_returns(world.tasks).mean()) < 0.3
    late = found.probability[:, 200:].astype(np.float64)
    assert np.allclose(np.unique(late), [0.04, 0.84], atol=1e-3)
    for number in (0, 50, 150, 199):
        chance = 1 - 0.8 * number / 200
        assert set(found.probability[:, number].tolist()) <= {
            *np.array([chance / 5, 1 - 0.8 * chance]).astype(np.float32).astype(np.float16).tolist()
        }
