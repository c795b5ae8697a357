"""A growing world: which rows come when, the same whenever and wherever a run goes on, and what is refused."""

import json
import shlex
import shutil
import tracemalloc
from collections import Counter

import pytest
import torch

from tests.helpers import assert_one_line, launched, refusal, results_of, same, weights
from trainers.run import main
from trainers.sampling import GrowingOrder, Stage
from trainers.settings.growing import stages_of

N_ROWS = 97
FEW, MORE = torch.arange(3, 33, 2, dtype=torch.int32), torch.arange(0, 60, dtype=torch.int32)
STOPS = 2 * N_ROWS + 11, 5 * N_ROWS - 7
STAGES = Stage(FEW, STOPS[0]), Stage(MORE, STOPS[1])


def order_of(*epochs, seed=0):
    sampler = GrowingOrder(N_ROWS, STAGES, seed)
    found = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        found += list(sampler)
    assert len(sampler) == N_ROWS and len(found) == N_ROWS * len(epochs)
    return found


def test_every_pass_of_a_stage_has_each_of_its_rows_once_and_another_order():
    order, starts = order_of(*range(9)), (0, *STOPS)
    for rows, start, stop in zip((FEW, MORE, torch.arange(N_ROWS)), starts, (*STOPS, 9 * N_ROWS), strict=True):
        passes = [order[at : min(stop, at + len(rows))] for at in range(start, stop, len(rows))]
        last = passes.pop()
        assert all(sorted(part) == sorted(rows.tolist()) for part in passes) and len(passes) >= 3
        assert max(Counter(last).values()) == 1 and set(last) <= set(rows.tolist())
        assert len(set(map(tuple, passes))) == len(passes) and sorted(rows.tolist()) not in passes


def test_the_order_follows_from_seed_and_position_alone(monkeypatch):
    whole = order_of(*range(9))
    torch.manual_seed(99)
    assert order_of(8) == whole[8 * N_ROWS :] and order_of(4, 2) == whole[4 * N_ROWS : 5 * N_ROWS] + order_of(2)
    monkeypatch.setattr("trainers.sampling._ROWS_LISTED", 10)
    assert order_of(*range(9)) == whole
    assert order_of(*range(9), seed=2**32 - 1) != whole
    first = [Counter(order_of(0, seed=seed)[:5]) for seed in range(2000)]
    times = [sum(found[row] for found in first) for row in FEW.tolist()]
    expected = 2000 * 5 / len(FEW)
    assert sum((n - expected) ** 2 / expected for n in times) < 40  # chi squared of 14 degrees of freedom: p < 0.001


def test_an_order_makes_no_list_of_all_rows():
    n_rows = 3_000_000
    tracemalloc.start()
    try:
        order = iter(GrowingOrder(n_rows, [Stage(torch.arange(n_rows - 1, dtype=torch.int32), n_rows // 2)], 0))
        assert len({next(order) for _ in range(1000)}) == 1000
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


# --- whole runs

TINY = shlex.split(
    "--task distance --n_cities 30 --n_train 300 --n_val 20 --n_test 0 --hidden_size 16 --num_hidden_layers 1"
    " --intermediate_size 16 --num_attention_heads 2 --per_device_train_batch_size 8 --logging_steps 1 --threads 1"
    " --use_cpu --precision float32 --eval_steps 50 --grow 12:3,20:40 --max_steps 50"
)  # an epoch has 38 steps, the last one with four rows: the second stage goes on into the second epoch


def cities_of(prompt):
    return [int(city.removeprefix("c_")) for city in prompt.removeprefix("dist(").removesuffix(")=").split(",")]


@pytest.fixture
def steps(monkeypatch):
    """The prompts of every batch that is trained on."""
    from trainers.base import WorldTrainer

    seen, train_on = [], WorldTrainer.training_step

    def spy(trainer, model, inputs, *args, **kwargs):
        ids, rows = inputs["input_ids"], trainer.train_dataset
        found = [tuple(ids[ids != 0].tolist()) for ids in ids]
        known = {tuple(rows.ids_NT[n][: rows.length_N[n]].tolist()): n for n in range(len(rows))}
        seen.append([rows.table["prompt"][known[row]] for row in found])
        return train_on(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(WorldTrainer, "training_step", spy)
    return seen


def test_a_run_trains_in_the_small_world_for_so_many_steps(prefix, steps, capsys):
    from geo.cities import load_cities
    from tasks.geography.growing import order_of_joining

    assert main([*TINY, "--output_dir", str(prefix / "run")]) == 0
    joining = order_of_joining(load_cities(n_cities=30)).tolist()  # ids are rows here
    assert len(steps) == 50 and [len(step) for step in steps].count(4) == 1
    for size, start, stop in ((12, 0, 3), (20, 3, 43), (30, 43, 50)):
        trained = [prompt for step in steps[start:stop] for prompt in step]
        cities = {city for prompt in trained for city in cities_of(prompt)}
        assert cities <= set(joining[:size]) and len(cities) > {12: 6, 20: 19, 30: 20}[size]
    second = [prompt for step in steps[3:43] for prompt in step]
    times = Counter(second).values()
    assert max(times) - min(times) <= 1  # every row of the stage as often as any other
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("growing world"))
    assert "12 of 30 cities (" in line and f"20 ({len(set(second))} rows) for 40, then all" in line
    settings = json.loads((prefix / "run" / "settings.json").read_text())
    assert settings["resolved"]["grow"] == "12:3,20:40"
    assert "growing world: 12:3,20:40" in (prefix / "run" / "README.md").read_text()

    import mlflow

    found = mlflow.search_runs(experiment_names=["distance"], output_format="list", search_all_experiments=False)
    (run,) = [run for run in found if run.data.tags["output_dir"] == str(prefix / "run")]
    assert run.data.params["grow"] == "12:3,20:40"


def test_a_resumed_run_is_the_uninterrupted_one_and_keeps_its_stages(prefix, capsys):
    whole, halves = prefix / "whole", prefix / "halves"
    argv = [*TINY, "--grow", "12:6", "--max_steps", "10", "--eval_steps", "2"]
    assert main([*argv, "--output_dir", str(whole)]) == 0
    for step in (4, 8):  # the world grows after step 6
        shutil.copytree(whole, halves)
        for path in halves.glob("checkpoint-*"):
            if int(path.name.partition("-")[2]) > step:
                shutil.rmtree(path)
        (halves / "results.json").unlink()
        resumed = ["--output_dir", str(halves), "--resume_from_checkpoint", "last"]
        capsys.readouterr()
        assert main([*resumed, "--grow", "12:7"]) == 2
        assert_one_line(capsys.readouterr().err, "--grow", "12:7", "12:6")
        assert main([*resumed, "--no_grow"]) == 2
        assert main(resumed) == 0
        assert same(*(weights(folder / "checkpoint-10") for folder in (whole, halves)))
        shutil.rmtree(halves)


@pytest.mark.slow
def test_two_processes_and_two_batches_a_step_train_like_one(prefix):
    argv = [*TINY, "--no_muon", "--optim", "sgd", "--learning_rate", "0.1", "--lr_scheduler_type", "constant"]
    trained = {}
    for name, processes, more in (("one", 1, "8 1"), ("two", 2, "4 1"), ("accumulated", 1, "4 2")):
        batch, accumulated = more.split()
        sizes = ["--per_device_train_batch_size", batch, "--gradient_accumulation_steps", accumulated]
        launched([*argv, *sizes, "--output_dir", str(prefix / name)], processes)
        trained[name] = weights(prefix / name / "checkpoint-50")
    for other in ("two", "accumulated"):
        for name, value in trained["one"].items():
            assert torch.allclose(value, trained[other][name], atol=1e-5), (other, name)
    loss = "final_validation_loss"
    assert results_of(prefix / "one")[loss] == pytest.approx(results_of(prefix / "two")[loss], abs=1e-4)


# --- what is refused


def test_stages_are_read():
    assert stages_of("800:2500") == [(800, 2500)] and stages_of("1:2,3:4") == [(1, 2), (3, 4)]


@pytest.mark.parametrize("text", ["800", "800:", "a:b", "800:1,", "800:1 900:2", "48050", "-8:3", "8:-3", "8:2.5"])
def test_what_is_no_stage_is_answered_with_the_form(text):
    with refusal("--grow", text, "SIZE:STEPS", "800:2500"):
        stages_of(text)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ("--grow 12:3,12:4", "--grow 12"),
        ("--grow 20:3,12:4", "--grow 20 12"),
        ("--grow 0:3", "--grow 0:3"),
        ("--grow 12:0", "--grow 12:0"),
        ("--grow 30:3", "--grow 30"),
        ("--grow 12:3,31:3", "--grow 30 31"),
        ("--grow 3:3", "--grow 3 8 --per_device_train_batch_size"),
        ("--grow 12:30,20:21", "--grow 51 50 --max_steps"),
        ("--group_by_length", "--grow --group_by_length"),
    ],
)
def test_what_cannot_grow_is_refused_before_anything_is_made(more, names, prefix, datasets_once, capsys):
    assert main([*TINY, *more.split()]) == 2
    assert_one_line(capsys.readouterr().err, *names.split())
    assert not (prefix / "runs").exists()


@pytest.mark.parametrize("task", ["random_walk", "arc", "darkroom"])
def test_a_task_whose_world_has_no_parts_refuses(task, prefix, capsys):
    assert main(["--task", task, "--use_cpu", "--grow", "800:2500"]) == 2
    assert_one_line(capsys.readouterr().err, "--grow", task)
    assert list(prefix.iterdir()) == []
