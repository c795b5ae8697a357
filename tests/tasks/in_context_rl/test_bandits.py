"""Bandits and the rules that pull their arms, against formulas, sampling and plain Python."""

from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from tasks.in_context_rl import rollout
from tasks.in_context_rl.bandit_rules import RULES, ArmRule, Pulls, Thompson
from tasks.in_context_rl.bandits import N_LEVELS, Bandit, gaussian_bandit
from tasks.in_context_rl.gittins import PRIOR_MEAN, PRIOR_VARIANCE, index_bonus
from tasks.in_context_rl.model import HistoryConfig
from tasks.in_context_rl.sources import record, rule_returns
from tests.helpers import results_of, within
from trainers.run import main

from .model_helpers import seeded

SD = 0.3
normal = NormalDist()


def pulled(n=1, arms=3, times=6, seed=0, kind=Pulls):
    """What N agents know after random pulls of random bandits, and the rewards of every arm of the first agent."""
    world, rng = gaussian_bandit(arms, 10, SD, n, seed), np.random.default_rng(seed)
    known, seen = kind(world.room, n), [[] for _ in range(arms)]
    zero = np.zeros(n, dtype=int)
    for _ in range(times):
        action = rng.integers(arms, size=n)
        *_, reward = world.room.step(world.tasks, zero, zero, action, rng)
        known.observe(zero, action, reward, zero)
        seen[action[0]].append(float(world.room.reward_values[reward[0]]))
    return known, seen


def test_rewards_are_gaussian_around_the_mean_of_the_arm_and_rounded_little():
    world = gaussian_bandit(4, 10, SD, 1, 3)
    values, times = world.room.reward_values, 20_000
    tasks, zero = world.tasks.repeated(times), np.zeros(times, dtype=int)
    for arm in range(4):
        cell, stage, reward = world.room.step(tasks, zero, zero, np.full(times, arm), np.random.default_rng(arm))
        assert not cell.any() and not stage.any() and reward.dtype == np.uint8
        assert within(values[reward], world.tasks.mean_NA[0, arm])
        assert values[reward].std() == pytest.approx(SD, rel=0.02)
    assert len(values) == N_LEVELS and (np.diff(values) < SD / 5).all()
    assert stats.norm.sf(values[-1], 1, SD) < 1e-3 and values[0] == pytest.approx(1 - values[-1])


def test_returns_count_means_and_not_noise():
    world = gaussian_bandit(3, 4, SD, 2, 0)
    actions, rewards = np.array([[0, 1, 2, 2], [1, 1, 1, 0]]), np.full((2, 4), 60)
    worth = world.room.worth(world.tasks, actions.astype(np.uint8), rewards)
    means = world.tasks.mean_NA.tolist()
    assert worth.tolist() == [[means[row][arm] for arm in arms] for row, arms in enumerate(actions.tolist())]
    assert world.room.optimal_returns(world.tasks) == pytest.approx([4 * max(arms) for arms in means])
    assert world.room.random_returns(world.tasks) == pytest.approx([4 * sum(arms) / 3 for arms in means])
    best = world.room.best_actions(world.tasks, actions[:, 0], actions[:, 0])
    assert best.tolist() == [arms.index(max(arms)) for arms in means]


def test_means_are_uniform_and_tasks_are_made_of_their_columns():
    world = gaussian_bandit(5, 10, SD, 4000, 1)
    assert stats.kstest(world.tasks.mean_NA.ravel(), "uniform").pvalue > 1e-3
    again = world.room.make_tasks(*world.tasks.columns())
    assert (again.mean_NA == world.tasks.mean_NA).all()
    for wrong in (world.tasks.mean_NA[:, :4], world.tasks.mean_NA + 1, world.tasks.mean_NA * np.nan):
        with pytest.raises(ValueError, match="mean"):
            world.room.make_tasks(wrong)


@pytest.mark.parametrize("times", [2, 5, 40])
def test_upper_bounds_are_those_of_the_formula(times):
    known, seen = pulled(times=times)
    t = times + 1
    expected = [
        np.mean(of) + SD * np.sqrt(2 * np.log(1 + t * np.log(t) ** 2) / len(of)) if of else np.inf for of in seen
    ]
    assert known.upper_bounds(times, 100)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("times", [0, 3, 30])
def test_thompson_pulls_every_arm_as_often_as_a_draw_of_its_posterior_is_the_largest(times):
    known, seen = pulled(times=times, kind=Thompson)
    n, rng, draws = 40_000, np.random.default_rng(1), []
    for of in seen:
        if of:
            mean, sd = np.mean(of), SD / len(of) ** 0.5
            draws.append(stats.truncnorm.rvs(-mean / sd, (1 - mean) / sd, mean, sd, size=n, random_state=rng))
        else:
            draws.append(rng.random(n))
    best = np.argmax(draws, axis=0)
    for arm, chance in enumerate(known.chances(np.zeros(1), times)[0]):
        assert abs((best == arm).mean() - chance) < 4 * (chance * (1 - chance) / n) ** 0.5 + 2e-3


def posterior(count):
    """Standard deviation of the mean after so many pulls, and of what one more changes it by."""
    before, after = (1 / (1 / PRIOR_VARIANCE + k / SD**2) for k in (count, count + 1))
    return before**0.5, (before - after) ** 0.5


def worth_of_trying(mean, count, left):
    """Expected rewards of pulling an arm beside a sure reward of 0, if one may stop; by integration."""
    moves = posterior(count)[1]
    if left == 2:  # a Gaussian number, or 0 where that is larger
        return mean + mean * normal.cdf(mean / moves) + moves * normal.pdf(mean / moves)

    def later(new):
        return normal.pdf((new - mean) / moves) / moves * max(0, worth_of_trying(new, count + 1, left - 1))

    return mean + integrate.quad(later, mean - 7 * moves, mean + 7 * moves, limit=200)[0]


@pytest.mark.parametrize(("count", "left"), [(0, 1), (0, 2), (4, 2), (0, 3), (7, 3)])
def test_the_gittins_index_is_where_trying_an_arm_is_worth_a_sure_reward(count, left):
    bonus = index_bonus(60, SD)[count, left]
    root = 0 if left == 1 else optimize.brentq(worth_of_trying, -1, 0, args=(count, left), xtol=1e-4)
    assert bonus == pytest.approx(-root, abs=5e-4)


def test_the_gittins_bonus_grows_with_the_pulls_left_and_falls_with_those_done():
    bonus = index_bonus(60, SD)
    assert (np.diff(bonus[:20, 1:40], axis=1) > -1e-9).all() and (np.diff(bonus[:20, 2:40], axis=0) < 0).all()
    assert not bonus[:, 0].any() and not bonus[40, 21:].any()
    known, seen = pulled(times=8)
    found = known.gittins_index(8, 60)[0]
    for arm, of in enumerate(seen):
        precision = 1 / PRIOR_VARIANCE + len(of) / SD**2
        mean = (PRIOR_MEAN / PRIOR_VARIANCE + sum(of) / SD**2) / precision
        assert found[arm] == pytest.approx(mean + bonus[len(of), 52])


def test_regret_is_least_by_gittins_and_that_of_thompson_is_that_of_a_sampler():
    world = gaussian_bandit(5, 10, SD, 128, 7)
    optimal = world.room.optimal_returns(world.tasks)
    regret = {
        name: (optimal[:, None, None] - returns).sum(axis=-1).ravel()
        for name, returns in rule_returns(world.room, world.tasks, 15).items()
    }
    assert regret["gittins"].mean() < regret["thompson"].mean() < regret["ucb"].mean()
    assert all((of > -1e-9).all() for of in regret.values())
    apart = sampled_regret(world, 150)  # means of the same bandits: what is left is the noise of both
    both = regret["thompson"].reshape(len(optimal), -1).mean(axis=1) - apart
    assert within(both, 0)


def sampled_regret(world, n_steps):
    """Regret of sampling means from truncated Gaussians, without any rounding."""
    rng, mean_NA = np.random.default_rng(9), world.tasks.mean_NA
    count, total, regret = np.zeros_like(mean_NA), np.zeros_like(mean_NA), np.zeros(len(mean_NA))
    every = np.arange(len(mean_NA))
    for _ in range(n_steps):
        sd, mean = SD / np.sqrt(np.maximum(count, 1e-9)), total / np.maximum(count, 1e-9)
        low, high = stats.norm.cdf(-mean / sd), stats.norm.cdf((1 - mean) / sd)
        drawn = mean + sd * stats.norm.ppf(low + (high - low) * rng.random(mean.shape))
        arm = np.where(count == 0, rng.random(mean.shape), drawn).argmax(axis=1)
        count[every, arm] += 1
        total[every, arm] += rng.normal(mean_NA[every, arm], SD)
        regret += mean_NA.max(axis=1) - mean_NA[every, arm]
    return regret


@pytest.mark.parametrize("name", RULES)
def test_histories_of_a_rule_are_equal_for_equal_seeds_and_hold_the_chances_of_pulls(name):
    world = gaussian_bandit(4, 10, SD, 200, 2)
    found = [record(ArmRule(name), world.room, world.tasks, 60, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (found[0].action == found[1].action).all() and (found[0].reward == found[1].reward).all()
    assert (found[0].reward != found[2].reward).any()
    assert (found[0].probability > 0).all() and not found[0].cell.any() and not found[0].next_cell.any()
    chance = found[0].probability.astype(np.float64)
    if name == "thompson":
        assert np.allclose(chance[:, 0], 1 / 4, atol=1e-3) and (chance[:, 30:] < 1).mean() > 0.5
    else:  # one arm, or any of those that are equally good
        assert np.allclose(1 / chance, np.rint(1 / chance), atol=2e-3) and (chance[:, 10:] == 1).mean() > 0.9
    if name == "ucb":
        assert (np.sort(found[0].action[:, :4], axis=1) == np.arange(4)).all()


def test_who_knows_the_best_arm_has_no_regret_and_who_pulls_at_random_that_of_chance(monkeypatch):
    world, episodes = gaussian_bandit(5, 10, SD, 400, 4), 3
    config = HistoryConfig(size=1, n_actions=5, n_rewards=N_LEVELS)
    model = SimpleNamespace(config=config)

    def acting(logits):
        monkeypatch.setattr(rollout, "Actor", lambda model, batch: SimpleNamespace(logits=lambda ids: logits))
        return rollout.rollout(model, world.room, world.tasks, episodes, seeded())

    best = torch.full((400, 5), -100.0)
    best[torch.arange(400), torch.from_numpy(world.tasks.mean_NA.argmax(axis=1))] = 0
    optimal = world.room.optimal_returns(world.tasks)
    assert acting(best) == pytest.approx(np.repeat(optimal[:, None], episodes, axis=1))
    apart = acting(torch.zeros(400, 5)).mean(axis=1) - world.room.random_returns(world.tasks)
    assert within(apart, 0)


@pytest.mark.parametrize("architecture", ["ad", "compressed_ad", "dpt"])
def test_every_model_trains_on_bandits_and_is_measured_beside_the_rules(architecture, prefix):
    small = (
        "--task bandit --n_bandits 20 --history_steps 60 --horizon 5 --n_val_tasks 2 --eval_episodes 3 --n_arms 3"
        " --window 10 --keep 5 --n_latents 2 --hidden_size 16 --intermediate_size 16 --num_hidden_layers 1"
        " --num_encoder_layers 1 --num_attention_heads 2 --threads 1 --use_cpu --max_steps 2 --eval_steps 2"
        " --per_device_train_batch_size 8 --learning_rate 1e-3"
    )
    folder = prefix / "run"
    assert main([*small.split(), "--architecture", architecture, "--output_dir", str(folder)]) == 0
    results = results_of(folder)
    assert {f"final_test_reference_{name}_regret" for name in RULES} <= results.keys()
    assert results["final_test_baseline_random_regret"] > results["final_test_reference_gittins_regret"]
    assert ("final_test_entropy_bound" in results) == (architecture != "dpt")


def test_a_bandit_is_a_room_of_one_cell():
    room = Bandit(1, 0, 10, 5, SD)
    assert room.n_cells == room.n_stages == 1 and room.n_actions == 5
