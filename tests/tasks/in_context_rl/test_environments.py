"""The dark rooms as environments of gymnasium."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from scipy import stats

from tests.helpers import refusal, within

from .room_helpers import FAMILIES, IDS, families, some_tasks


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
    for sample, expected in zip(total.reshape(4, each), world.room.random_returns(world.tasks[numbers]), strict=True):
        assert within(sample, expected, sigmas=3)


@families
def test_gymnasium_finds_nothing_wrong(name):
    for options in ({}, {"size": 4}, {"size": 5, "task": 7}, {"render_mode": None}, {"render_mode": "ansi"}):
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
@pytest.mark.parametrize("tasks", [None, [3, 8, 0]])
def test_seeds_are_those_of_gymnasiums_own_vector_environment(name, tasks):
    """A number, a list with gaps, none: every agent draws what it would draw alone, and goes on from there."""
    own = SyncVectorEnv(
        [
            lambda place=place: gymnasium.make(IDS[name], size=3, task=None if tasks is None else tasks[place])
            for place in range(3)
        ]
    )
    ours = gymnasium.make_vec(IDS[name], num_envs=3, size=3, tasks=tasks)
    for seed in (11, [5, 6, 5], [9, None, None], None, 2**40):
        (seen, info), (expected, told) = ours.reset(seed=seed), own.reset(seed=seed)
        assert seen.tolist() == expected.tolist() and info.keys() == told.keys()
        assert all(info[key].tolist() == told[key].tolist() for key in told)
    for seed in ([1, 2], [1, 2, 3, 4]):
        if tasks is None:
            with refusal(3, len(seed), of=ValueError):
                ours.reset(seed=seed)
    with refusal("reset_mask", of=ValueError):
        ours.reset(options={"reset_mask": np.array([True, False, True])})


@families
@pytest.mark.parametrize("action", [-1, -5, 5, 1.5, "0", None, np.array([0])])
def test_actions_that_do_not_exist_are_refused_and_change_nothing(name, action):
    one, many = gymnasium.make(IDS[name], size=3).unwrapped, gymnasium.make_vec(IDS[name], num_envs=2, size=3)
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        many.step(np.zeros(2, dtype=int))
    before, _ = one.reset(seed=0)
    many.reset(seed=0)
    with refusal("0 to 4", of=InvalidAction):
        one.step(action)
    for actions in (action, np.array([action, 0], dtype=object), np.zeros(3, dtype=int), np.array([[4, 4]])):
        with refusal("2 actions", "0 to 4", of=InvalidAction):
            many.step(actions)
    with refusal("-3", of=InvalidAction):
        many.step(np.array([4, -3]))
    assert one._observation().tolist() == before.tolist() == many._observation()[0].tolist()
    for right in (4, np.int8(4), np.array(4)):
        one.step(right)
    for all_right in ([4, 4], (4, 4), np.array([4, 4], dtype=np.uint8)):
        many.step(all_right)


def test_a_room_is_drawn_as_text():
    env = gymnasium.make(IDS["darkroom"], size=3, task=5, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == " .  .  .\n . [.] G\n .  .  .\n"
    env.step(2)
    assert env.render() == " .  .  .\n .  . [G]\n .  .  .\n"
    env = gymnasium.make_vec(IDS["dark_key_to_door"], num_envs=2, size=3, tasks=[1, 10], render_mode="ansi")
    env.reset()
    assert env.render() == (" K  D  .\n . [.] .\n .  .  .\n", " .  K  .\n . [.] .\n .  .  .\n")
    env.step(np.array([1, 1]))  # key 0,0 and door 0,1; both in 0,1
    assert env.render() == (" K [D] .\n .  .  .\n .  .  .\n", " . [D] .\n .  .  .\n .  .  .\n")
    env.step(np.array([3, 4]))
    assert env.render() == ("[.] D  .\n .  .  .\n .  .  .\n", " . [.] .\n .  .  .\n .  .  .\n")
    assert gymnasium.make_vec(IDS["darkroom"], num_envs=2).render() is None
    for make in (gymnasium.make, gymnasium.make_vec):
        with refusal("human", "ansi", of=ValueError):
            make(IDS["darkroom"], render_mode="human")


@families
def test_tasks_that_do_not_exist_are_refused(name):
    n_tasks = len(FAMILIES[name](3).tasks)
    for number in (-1, n_tasks):
        with refusal(n_tasks - 1, number, of=ValueError):
            gymnasium.make(IDS[name], size=3, task=number)
        with refusal(n_tasks - 1, of=ValueError):
            gymnasium.make_vec(IDS[name], num_envs=2, size=3, tasks=np.array([0, number]))
    for number in (0, n_tasks - 1):
        assert gymnasium.make(IDS[name], size=3, task=number).reset()[1]["task"] == number
