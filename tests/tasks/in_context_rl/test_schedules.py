"""Training on histories of random schedules, and one model under any of them; initial weights."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from tasks.in_context_rl.compression import Schedule, ScheduleRange, read_range
from tasks.in_context_rl.model import HistoryConfig, HistoryModel, build_model
from tasks.in_context_rl.options import HistoryModelOptions
from tests.helpers import gap, refusal
from trainers.run import main

from .model_helpers import COMPRESSED, MODELS, SCHEDULES, acted, as_rows, build, logits_of, random_steps
from .test_building import STORED
from .test_dpt import histories

ASKED = ScheduleRange((15, 60), (10, 100))


def test_every_stride_is_as_likely_and_every_window_that_it_leaves():
    uniform = (np.arange(460) + 0.5) / 460
    drawn = [ASKED.draw(u, v) for u in uniform for v in (0, 0.5, 1 - 1e-9)]
    strides = np.array([schedule.stride for schedule in drawn])
    assert (np.bincount(strides, minlength=61)[15:] == 30).all() and strides.min() == 15 and strides.max() == 60
    for schedule in drawn:
        assert schedule.keep >= 0 and schedule.stride <= schedule.window <= 100
    every = {ASKED.draw(0.5, v).window for v in uniform}
    assert every == set(range(ASKED.draw(0.5, 0).stride, 101))
    assert {ScheduleRange((5, 5), (8, 9)).draw(u, u) for u in uniform} == {Schedule(8, 3), Schedule(9, 4)}
    assert all(schedule.length(3) <= ASKED.largest.length(3) for schedule in drawn)


@pytest.mark.parametrize("text", ["15", "15:", "60:15", "0:3", "a:b", "1:2:3"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError):
        read_range(text)
    with refusal("--train_strides", repr(text)):
        build_model(HistoryModelOptions(architecture="compressed_ad", train_strides=text), STORED)


def test_a_stride_for_which_there_is_no_window_is_refused():
    with refusal("--train_strides", "--train_windows", "LEAST:MOST"):
        build_model(HistoryModelOptions(architecture="compressed_ad", train_strides="20:60", window=50, keep=5), STORED)


@pytest.mark.parametrize("architecture", ["ad", "dpt"])
def test_strides_of_a_model_that_compresses_nothing_are_refused(architecture):
    with refusal("--train_strides 5:15", architecture):
        build_model(HistoryModelOptions(architecture=architecture, train_strides="5:15"), STORED)


def test_by_default_batches_have_the_models_own_schedule():
    config = HistoryConfig(window=25, keep=5)
    assert {config.training_schedules.draw(u, u) for u in (0, 0.3, 0.99)} == {config.schedule}


def test_batches_have_random_schedules_and_the_length_that_their_depth_takes():
    world, columns, _ = histories("darkroom", n_steps=20 * 8)
    shape = {"architecture": "compressed_ad", "size": 3, "window": 12, "keep": 4, "depth_weights": "0:8,2:1,5:1"}
    config = HistoryConfig(**shape, train_strides="3:9", train_windows="5:20")
    rows, drawn = as_rows(world, config, columns, split="train"), set()
    for epoch in range(150):
        rows.set_epoch(epoch)
        batch = rows.__getitems__([epoch % len(rows), 1, 2])
        schedule = Schedule(batch.get("window", 12), batch.get("keep", 4))
        length = batch["labels"].shape[1]
        assert 3 <= schedule.stride <= 9 and 5 <= schedule.window <= 20
        depth = schedule.depth(length - 1)
        assert depth in (0, 2, 5) and length == schedule.length(depth)
        again = rows.__getitems__([epoch % len(rows), 5])
        assert (again.get("window"), again.get("keep")) == (batch.get("window"), batch.get("keep"))
        drawn.add((schedule, depth))
    assert len({schedule for schedule, _ in drawn}) > 25 and {depth for _, depth in drawn} == {0, 2, 5}
    fixed = as_rows(world, HistoryConfig(**shape), columns, split="train").__getitems__([0, 1])
    assert "window" not in fixed


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("other", SCHEDULES)
def test_a_schedule_that_is_given_is_that_of_a_model_with_it(name, other):
    model, same = build(name), build(name, other)
    same.load_state_dict(model.state_dict())
    window, keep = SCHEDULES[other]
    steps = random_steps(2, 4 * window + 1)
    with torch.no_grad():
        found = model(steps=steps, window=window, keep=keep).logits
    assert gap(found, logits_of(same, steps)) < 1e-12


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_saved_model_acts_under_another_schedule(name, tmp_path):
    model = build(name).float()
    model.save_pretrained(tmp_path)
    other = HistoryModel.from_pretrained(tmp_path, window=6, keep=1).eval()
    assert other.schedule == Schedule(6, 1) != model.schedule
    steps = random_steps(2, 20)
    with torch.no_grad():
        expected = model(steps=steps, window=6, keep=1).logits
    assert gap(acted(other, steps), expected) < 1e-5


def test_a_run_with_random_schedules_counts_every_target(prefix):
    small = (
        "--task darkroom --size 3 --horizon 10 --n_streams 4 --history_steps 200 --keep_every 1 --n_val_tasks 2"
        " --eval_streams 1 --eval_episodes 2 --eval_rollouts 1 --architecture compressed_ad --window 20 --keep 5"
        " --n_latents 3 --depth_weights 0:1,1:2,3:1 --train_strides 5:15 --train_windows 10:30 --hidden_size 16"
        " --intermediate_size 16 --num_hidden_layers 1 --num_encoder_layers 1 --num_attention_heads 2 --threads 1"
        " --use_cpu --max_steps 6 --eval_steps 6 --per_device_train_batch_size 4 --logging_steps 1 --init xavier"
    )
    assert main([*small.split(), "--output_dir", str(prefix / "run")]) == 0
    history = json.loads((prefix / "run" / "trainer_state.json").read_text())["log_history"]
    totals = [sum(entry[f"targets_of_depth_{depth}"] for depth in (0, 1, 3)) for entry in history if "loss" in entry]
    lengths = np.diff([0, *totals]) / 4
    assert len(lengths) == 6 and (lengths % 1 == 0).all() and len(set(lengths)) > 2
    assert lengths.max() <= Schedule(30, 15).length(3)
    saved = json.loads((prefix / "run" / "config.json").read_text())
    assert saved["train_strides"] == "5:15" and saved["init"] == "xavier"


# --- initial weights


@pytest.mark.parametrize("init", ["normal", "truncated_normal", "xavier"])
def test_initial_weights_have_the_distribution_that_is_asked_for(init):
    scale = 0.05
    torch.manual_seed(0)
    model = HistoryModel(HistoryConfig(architecture="compressed_ad", hidden_size=64, init=init, init_scale=scale))
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.EmbeddingBag | nn.Embedding):
            weight = module.weight.detach()
            if init == "xavier" and isinstance(module, nn.Linear):
                most = math.sqrt(6 / sum(weight.shape))
                spread = most / math.sqrt(3)
            else:
                most, spread = (2 * scale, 0.8796 * scale) if init == "truncated_normal" else (math.inf, scale)
            assert weight.abs().max() <= most * (1 + 1e-6)
            assert weight.std() == pytest.approx(spread, rel=0.25 if weight.numel() < 2000 else 0.05)
            assert not isinstance(module, nn.Linear) or module.bias is None or not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()


def test_weights_of_no_size_can_be_asked_for():
    model = HistoryModel(HistoryConfig(init="truncated_normal", init_scale=0))
    assert not model.head.weight.any()
