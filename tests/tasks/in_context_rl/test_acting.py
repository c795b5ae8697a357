"""Acting: the logits of training, the returns that can be computed, the actions that are drawn."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tasks.in_context_rl import rollout as rollout_module
from tasks.in_context_rl.encoding import encode, field_sizes
from tasks.in_context_rl.rollout import Actor, choose_actions, rollout
from tasks.in_context_rl.rooms import N_ACTIONS, darkroom, key_to_door, permuted_darkroom
from tests.helpers import gap

from .model_helpers import acted, as_rows, build, logits_of, longest_of, optimal_player, random_steps, seeded

# --- acting and training


def test_acting_step_by_step_gives_the_logits_of_training(name, schedule):
    model = build(name, schedule)
    steps = random_steps(2, longest_of(model))
    found = acted(model, steps)
    assert found.std() > 0.05
    for length in range(1, steps.shape[1] + 1):  # histories end anywhere in a window
        expected = logits_of(model, steps[:, :length])
        assert expected.shape == (2, length, N_ACTIONS)
        assert gap(found[:, :length], expected) < 1e-9


@pytest.mark.parametrize("sizes", [{"n_latents": 1}, {"n_latents": 7}, {"num_encoder_layers": 1, "hidden_size": 4}])
def test_so_it_does_with_other_sizes_and_many_compressions(sizes):
    model = build("gated", "little", **sizes)
    steps = random_steps(1, longest_of(model, depth=12))
    assert gap(acted(model, steps), logits_of(model, steps)) < 1e-9


def test_so_it_does_within_autocast(name):
    model = build(name).float()
    steps = random_steps(2, longest_of(model))
    with torch.autocast("cpu", torch.bfloat16):
        found = acted(model, steps).float()
    assert 0 < gap(found, logits_of(model, steps)) < 0.2


def test_histories_of_a_batch_know_nothing_of_each_other(name, schedule):
    model = build(name, schedule)
    steps = random_steps(3, longest_of(model))
    together, in_step = logits_of(model, steps), acted(model, steps)
    for row in range(3):
        alone = logits_of(model, steps[row : row + 1])[0]
        assert gap(together[row], alone) < 1e-9 and gap(in_step[row], alone) < 1e-9


# --- acting in rooms

WORLDS = {"darkroom": darkroom, "permuted": permuted_darkroom, "key_to_door": key_to_door}


@pytest.fixture(params=WORLDS)
def world(request):
    return WORLDS[request.param](3, 7)


@pytest.mark.parametrize("horizon", [3, 7])
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", WORLDS)
def test_who_plays_optimally_gets_the_optimal_returns(name, size, horizon, monkeypatch):
    world = WORLDS[name](size, horizon)
    monkeypatch.setattr(rollout_module, "Actor", optimal_player(world.room, world.tasks))
    found = rollout(build("ad", size=size, act_temperature=0), world.room, world.tasks, 2, seeded())
    expected = world.room.optimal_returns(world.tasks)
    assert found.shape == (len(world.tasks), 2) and found.tolist() == [[best, best] for best in expected.tolist()]


@pytest.mark.parametrize("name", ["ad", "gated"])
def test_uniform_logits_get_the_random_returns(world, name):
    model = build(name, "little").float()
    with torch.no_grad():
        model.head.weight.zero_()
    times = -(-400 // len(world.tasks))
    expected = world.room.random_returns(world.tasks).repeat(times)
    found = rollout(model, world.room, world.tasks.repeated(times), 3, seeded())
    for return_N in (found.mean(axis=1), found[:, 0], found[:, -1]):
        error = return_N - expected
        assert abs(error.mean()) < 4 * error.std() / math.sqrt(len(error)) and error.std() > 0
    assert gap(torch.from_numpy(found[:, :1]), torch.from_numpy(found[:, 1:2])) > 0


def replayed(room, goals, moves, actions):
    """Cell, reward and next cell of every step, by rules written anew; episodes end at the horizon."""
    found, shifts = [], [(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)]
    for number, action in enumerate(actions):
        if number % room.horizon == 0:
            cell, stage = room.start, 0
        row, column = (
            min(max(place + by, 0), room.size - 1)
            for place, by in zip(divmod(cell, room.size), shifts[moves[action]], strict=True)
        )
        after = row * room.size + column
        reward = int(stage < len(goals) and after == goals[stage])
        stage += reward if room.once else 0
        found.append((cell, reward, after))
        cell = after
    return found


def overheard(monkeypatch):
    """What a rollout gives to its actor, and what comes back."""
    ids, logits, actions = [], [], []

    def listening(model, batch):
        actor = Actor(model, batch)

        def answered(step_BF):
            ids.append(step_BF.clone())
            logits.append(actor.logits(step_BF))
            return logits[-1]

        return SimpleNamespace(logits=answered)

    def drawing(*args):
        actions.append(choose_actions(*args))
        return actions[-1]

    monkeypatch.setattr(rollout_module, "Actor", listening)
    monkeypatch.setattr(rollout_module, "choose_actions", drawing)
    return ids, logits, actions


@pytest.mark.parametrize("name", ["ad", "gated"])
def test_training_and_acting_read_a_history_alike(world, name, monkeypatch):
    ids, logits, actions = overheard(monkeypatch)
    model, some = build(name, "little"), world.tasks[np.arange(0, len(world.tasks), 4)]
    found = rollout(model, world.room, some, 3, seeded())
    actions_NT = np.stack(actions, axis=1)
    transcript = np.array([
        replayed(world.room, goals, moves, taken)
        for goals, moves, taken in zip(some.goals_NG, some.moves_NA.tolist(), actions_NT.tolist(), strict=True)
    ])  # fmt: skip
    cell, reward, after = np.moveaxis(transcript, -1, 0)
    assert found.tolist() == reward.reshape(len(some), 3, -1).sum(-1).tolist() and found.sum()
    columns = {"cell": cell, "action": actions_NT, "reward": reward, "next_cell": after}
    rows = as_rows(world, model.config, {**columns, "probability": np.ones(cell.shape)})
    batch = rows.__getitems__(list(range(len(rows))))
    assert torch.equal(batch["steps"], torch.stack(ids, dim=1))
    assert batch["labels"].tolist() == actions_NT.tolist()
    assert gap(logits_of(model, batch["steps"]), torch.stack(logits, dim=1)) < 1e-9
    horizon = world.room.horizon
    assert (after[:, horizon - 1] != cell[:, horizon]).any()  # at the end of an episode it counts where one arrived
    nothing = [np.full((len(some), 1), -1)] * 3
    before = [np.hstack([none, part[:, :-1]]) for none, part in zip(nothing, (after, actions_NT, reward), strict=True)]
    begins = np.tile(np.arange(cell.shape[1]) % horizon == 0, (len(some), 1))
    assert encode(field_sizes(world.room.size, N_ACTIONS, 2), cell, *before, begins).tolist() == batch["steps"].tolist()
    for start, length in ((0, 5), (1, 9), (horizon - 1, 3), (horizon, 4), (horizon + 2, horizon)):
        part = rows.stretch(np.arange(len(rows)), np.full(len(rows), start), length)
        assert torch.equal(part["steps"], batch["steps"][:, start : start + length])
        assert torch.equal(part["labels"], batch["labels"][:, start : start + length])


# --- drawing actions


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_at_temperature_0_the_likeliest_action_is_taken(kind):
    logits = torch.randn(50, N_ACTIONS, generator=seeded()).to(kind)
    found = choose_actions(logits, 0, seeded())
    assert found.tolist() == [row.index(max(row)) for row in logits.tolist()]
    distinct = torch.tensor([0.0, 3.0, -1.0, 2.0, 2.9]).expand(50, -1).to(kind)
    assert choose_actions(distinct, 1e-3, seeded()).tolist() == [1] * 50


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_actions_are_as_frequent_as_their_chances(temperature):
    logits, n = np.array([0.0, 1.0, -2.0, 0.5, 0.2]), 20_000
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    found = (
        np.bincount(choose_actions(torch.tensor(logits).expand(n, -1), temperature, seeded()), minlength=N_ACTIONS) / n
    )
    assert (np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()


def test_equal_seeds_draw_equal_actions(world):
    logits = torch.randn(300, N_ACTIONS, generator=seeded())
    one, other, third = (choose_actions(logits, 1.0, seeded(seed)).tolist() for seed in (1, 1, 2))
    assert one == other != third
    model, some = build("gated"), world.tasks[np.arange(9)]
    returns = [rollout(model, world.room, some, 2, seeded(seed)).tolist() for seed in (1, 1, 2, 3)]
    assert returns[0] == returns[1] and returns[0] != returns[2:]
