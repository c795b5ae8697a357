"""The schedule with warm restarts, batches of like length, and which checkpoints are kept."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from trainers.callbacks.control import KeepBest
from trainers.common.ranking import best_steps
from trainers.optim.schedules import warm_restarts
from trainers.sampling import GroupedByLength


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0018498849832733245)


@pytest.mark.parametrize("steps_per_epoch", [1, 7])
def test_warm_restarts_are_pytorchs_own_stepped_once_an_epoch(steps_per_epoch):
    least, ours, theirs = 1.6816632143867157e-06, optimizer(), optimizer()
    schedule = warm_restarts(ours, 0.0018498849832733245, least, 6, steps_per_epoch)
    expected = CosineAnnealingWarmRestarts(theirs, T_0=6, T_mult=1, eta_min=least)
    rates = set()
    for _ in range(20):
        for _ in range(steps_per_epoch):
            assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
            rates.add(round(ours.param_groups[0]["lr"], 12))
            ours.step()
            schedule.step()
        theirs.step()
        expected.step()
    assert len(rates) == 6 and min(rates) > least


def test_batches_of_like_length_hold_every_row_once_and_waste_less():
    length_N = torch.randint(5, 200, (1003,), generator=torch.Generator().manual_seed(0))
    sampler = GroupedByLength(length_N, batch_size=16, seed=3)
    order = list(sampler)
    assert sorted(order) == list(range(1003)) and len(sampler) == 1003 and order == list(sampler)

    def padded(rows):
        return sum(int(length_N[part].max()) * len(part) for part in torch.tensor(rows).split(16))

    assert padded(order) < 1.1 * int(length_N.sum()) < 0.8 * padded(range(1003))
    firsts = [int(length_N[part].max()) for part in torch.tensor(order).split(16)]
    assert firsts != sorted(firsts) and firsts != sorted(firsts, reverse=True)


def test_every_epoch_has_an_order_of_its_own_that_can_be_had_again():
    sampler, again = (GroupedByLength(torch.arange(100) % 7, batch_size=8, seed=3) for _ in range(2))
    first = list(sampler)
    sampler.set_epoch(1)
    again.set_epoch(1)
    assert list(sampler) == list(again) != first
    assert list(GroupedByLength(torch.arange(100) % 7, batch_size=8, seed=4)) != first


HISTORY = [
    {"step": step, "eval_x": value, "loss": 1.0} for step, value in [(0, 9.0), (2, 3.0), (4, 5.0), (6, 1.0), (8, 3.0)]
]


@pytest.mark.parametrize(("greater", "best"), [(False, {6, 8}), (True, {0, 4})])
def test_the_best_evaluations_are_those_of_the_metric_that_chooses(greater, best):
    for name in ("x", "eval_x"):
        assert set(best_steps([*HISTORY, {"step": 9, "loss": 0.0}], name, greater, 2)) == best


def test_the_best_checkpoints_and_the_newest_are_kept(tmp_path):
    for entry in HISTORY:
        (tmp_path / f"checkpoint-{entry['step']}").mkdir()
        (tmp_path / f"checkpoint-{entry['step']}" / "state.json").write_text(json.dumps(entry))
    (tmp_path / "other").mkdir()
    args = SimpleNamespace(output_dir=str(tmp_path), metric_for_best_model="eval_x", greater_is_better=True)
    state = SimpleNamespace(log_history=HISTORY, best_model_checkpoint=str(tmp_path / "checkpoint-6"))
    KeepBest(2).on_save(args, state, None)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("checkpoint-0", "checkpoint-4"),  # the best
        *("checkpoint-6", "checkpoint-8", "other"),  # the one that the Trainer will load, the newest
    }


@pytest.mark.parametrize(("n_steps", "every"), [(300, 10), (31, 1), (100, 7), (3, 1)])
def test_by_default_first_best_last_and_some_in_even_distances_are_kept(n_steps, every, tmp_path):
    best, history = max(1, n_steps // every // 3) * every, []
    args = SimpleNamespace(output_dir=str(tmp_path), metric_for_best_model="eval_x", greater_is_better=False)
    steps = [*range(0, n_steps, every), n_steps]
    for step in steps:
        history.append({"step": step, "eval_x": abs(step - best)})
        (tmp_path / f"checkpoint-{step}").mkdir()
        newest_best = f"/carried/elsewhere/checkpoint-{min(step, best)}"
        state = SimpleNamespace(log_history=history, best_model_checkpoint=newest_best, max_steps=n_steps)
        KeepBest().on_save(args, state, None)
        kept = {int(path.name.removeprefix("checkpoint-")) for path in tmp_path.iterdir()}
        assert {0, step, min(step, best)} <= kept and len(kept) <= 11
    assert len(kept) >= min(9, len(steps)) - 1 and max(map(int.__sub__, sorted(kept)[1:], sorted(kept))) <= (
        n_steps / 8 + 2 * every
    )
