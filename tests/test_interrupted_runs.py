"""Runs that are killed and resumed end as if nothing had happened: weights bit for bit, history, one record."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.conftest import draw_nothing
from trainers.callbacks.control import SaveOnTermination
from trainers.folders.checkpoints import damage_of
from trainers.folders.run_folder import RunFolder

WARM = ["mlflow.store.tracking.sqlalchemy_store", "optuna", "trainers.runs.session", "tasks.arc.trainer"]
SMALL = "--hidden_size 16 --num_attention_heads 2 --threads 1 --use_cpu --per_device_eval_batch_size 64"
COMMON = f"{SMALL} --logging_steps 1 --eval_steps 5 --save_steps 5"
FAMILIES = {
    "location": "--task location --n_cities 60 --num_hidden_layers 1 --intermediate_size 16"
    " --per_device_train_batch_size 8 --max_steps 60 --early_stopping_patience 40",
    "random_walk": "--task random_walk --n_cities 60 --n_train 300 --n_val 20 --n_test 20 --longest_walk 4"
    " --radius_km 3000 --num_hidden_layers 1 --intermediate_size 16 --group_by_length --no_muon"
    " --per_device_train_batch_size 8 --max_steps 40",
    "arc": "--task arc --max_side 10 --pairs_per_task 20 --n_val 14 --n_test 0 --unseen_source none"
    " --num_encoder_layers 1 --num_hidden_layers 1 --intermediate_size 16 --per_device_train_batch_size 8"
    " --max_steps 15 --resample_context --augment_dihedral --augment_colours",
    "darkroom": "--task darkroom --n_streams 1 --history_steps 400 --num_hidden_layers 1 --intermediate_size 16"
    " --per_device_train_batch_size 8 --max_steps 20",
}
TIMED = ("_s", "runtime", "_per_second", "_time", "flos", "_memory_gb")  # what depends on the clock and the process
COUNTED = "of_depth"  # since the process started
FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json"]


def run(argv: list[str], environment: dict[str, str], log: str) -> None:
    """A run in a forked process."""
    os.environ.update(environment)
    with open(log, "ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    from trainers.run import main

    draw_nothing(pytest.MonkeyPatch())
    sys.argv = ["trainers/run.py", *argv]
    os._exit(main(argv))


class Starter:
    """Starts runs by forking a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.txt"
        self.environment = {name: os.environ[name] for name in ("EXP_DIR_PREFIX", "MLFLOW_TRACKING_URI")}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(WARM)

    def start(self, argv: list[str]):
        process = self.context.Process(target=run, args=(argv, self.environment, str(self.log)))
        process.start()
        return process

    def finish(self, argv: list[str]) -> float:
        start_s = time.monotonic()
        process = self.start(argv)
        process.join(300)
        assert process.exitcode == 0, self.log.read_text()[-2000:]
        return time.monotonic() - start_s


@pytest.fixture
def starter(prefix, tmp_path):
    return Starter(tmp_path)


def interrupted(starter, argv, folder, moments_s) -> int | None:
    """Start, kill after so many seconds, go on, until nothing is left to kill; how often; None if it was over then."""
    killed = 0
    for moment_s in moments_s:
        process = starter.start(going_on(argv, folder))
        process.join(moment_s)
        if process.exitcode is not None:
            assert process.exitcode == 0, starter.log.read_text()[-2000:]
            return killed
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if (folder / "results.json").is_file():
            return None  # nothing was left to lose
        killed += 1
    starter.finish(going_on(argv, folder))
    return killed


def going_on(argv, folder):
    """The command that a user would give now: to go on, the folder is enough."""
    where = ["--output_dir", str(folder)]
    if not (folder / "run.json").is_file():
        return [*argv, *where]
    if RunFolder(folder).last_checkpoint is None:
        return [*argv, *where, "--overwrite"]
    return [*where, "--resume_from_checkpoint", "last"]


def assert_same_run(whole, parts, store_uri):
    """The same checkpoints' weights, history and results; every metric once a step in one record."""
    names = {path.name for path in whole.glob("checkpoint-*")}
    assert names and names == {path.name for path in parts.glob("checkpoint-*")}
    for name in (*names, "."):
        expected, found = (load_file(folder / name / "model.safetensors") for folder in (whole, parts))
        assert all(expected[key].equal(found[key]) for key in expected), name
    assert history(whole) == history(parts)
    results = [json.loads((folder / "results.json").read_text()) for folder in (whole, parts)]
    timeless = [{k: v for k, v in r.items() if not k.endswith(("_s", "checkpoint"))} for r in results]
    assert timeless[0] == timeless[1]
    assert Path(results[0]["best_checkpoint"]).name == Path(results[1]["best_checkpoint"]).name
    expected, found = recorded(whole, store_uri), recorded(parts, store_uri)
    assert {name for name in {**expected, **found} if expected.get(name) != found.get(name)} == set()


def history(folder):
    entries = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [
        {k: v for k, v in entry.items() if not k.endswith(TIMED) and COUNTED not in k}
        for entry in entries
        if "train_loss" not in entry  # a mean since the last start
    ]


def recorded(folder, store_uri):
    """Metric -> its steps and values, as often as they are in the record."""
    from mlflow import MlflowClient

    client = MlflowClient(store_uri)
    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    logged = client.get_run(run_id).data.metrics
    untimed = [n for n in logged if not n.endswith(TIMED) and n != "train/train_loss" and COUNTED not in n]
    points = {n: [(p.step, p.value) for p in client.get_metric_history(run_id, n)] for n in untimed}
    assert all(len(found) == len({step for step, _ in found}) for found in points.values()), "a step twice"
    return {name: sorted(found) for name, found in points.items()}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("family", "kills"), [("location", 10), ("random_walk", 4), ("arc", 3), ("darkroom", 3)])
def test_killed_at_random_moments_a_run_ends_as_the_uninterrupted_one(starter, prefix, store_uri, family, kills):
    argv = f"{FAMILIES[family]} {COMMON}".split()
    starter.finish([*argv, "--output_dir", str(prefix / "warm"), "--max_steps", "5"])  # the dataset is there
    duration_s = starter.finish([*argv, "--output_dir", str(prefix / "whole")])
    chance, killed, number = random.Random(307), 0, 0
    while killed < kills:
        folder, number = prefix / f"parts-{number}", number + 1
        left = kills - killed
        moments_s = [chance.uniform(0.3, 0.9) * duration_s for _ in range(min(left, 3))]
        survived = interrupted(starter, argv, folder, moments_s)
        if survived is not None:
            killed += survived
            assert_same_run(prefix / "whole", folder, store_uri)
    print(f"{family}: {killed} kills, {number} runs, uninterrupted {duration_s:.1f} s")


def test_a_kill_in_training_is_survived_and_recorded(starter, prefix, store_uri):
    argv = f"{FAMILIES['location']} {COMMON} --max_steps 20".split()
    starter.finish([*argv, "--output_dir", str(prefix / "whole")])
    folder = prefix / "parts"
    process = starter.start(going_on(argv, folder))
    wait_for(lambda: (folder / "checkpoint-10" / "trainer_state.json").is_file())
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert status_of(folder, store_uri) == "RUNNING"  # nobody was left to say so
    starter.finish([*argv, "--output_dir", str(prefix / "next"), "--max_steps", "1"])
    assert status_of(folder, store_uri) == "KILLED" and "marked as killed: parts" in starter.log.read_text()
    starter.finish(going_on(argv, folder))
    assert_same_run(prefix / "whole", folder, store_uri)


def test_sigterm_saves_a_checkpoint_first(starter, prefix, store_uri):
    argv = f"{FAMILIES['location']} {SMALL} --logging_steps 1 --eval_steps 250 --save_steps 250".split()
    argv[argv.index("--max_steps") + 1] = "260"
    starter.finish([*argv, "--output_dir", str(prefix / "whole")])
    folder = prefix / "parts"
    process = starter.start(going_on(argv, folder))
    wait_for(lambda: (folder / "checkpoint-0" / "trainer_state.json").is_file())
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 143 and status_of(folder, store_uri) == "KILLED"
    extra = RunFolder(folder).last_checkpoint
    assert extra is not None and extra.name not in ("checkpoint-0", "checkpoint-250", "checkpoint-260")
    starter.finish(going_on(argv, folder))
    for name in ("checkpoint-250", "checkpoint-260"):
        expected, found = (load_file(whole / name / "model.safetensors") for whole in (prefix / "whole", folder))
        assert all(expected[key].equal(found[key]) for key in expected)


def test_a_second_signal_later_ends_at_once(monkeypatch):
    callback, now_s = SaveOnTermination(), iter([100.0, 101.0, 106.0])
    monkeypatch.setattr("trainers.callbacks.control.time.monotonic", lambda: next(now_s))
    callback._ask(signal.SIGTERM, None)
    callback._ask(signal.SIGTERM, None)  # an echo
    with pytest.raises(SystemExit) as stopped:
        callback._ask(signal.SIGTERM, None)
    assert stopped.value.code == 143


def test_a_signal_in_an_evaluation_saves_at_its_end():
    callback, control = SaveOnTermination(), TrainerControl()
    callback.on_evaluate(TrainingArguments(report_to="none"), TrainerState(), control)
    assert not control.should_save
    callback.asked = True
    callback.on_evaluate(TrainingArguments(report_to="none"), TrainerState(), control)
    assert control.should_save


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_a_checkpoint_cut_in_half_is_recognised(finished_run, tmp_path, name, share):
    import shutil

    newest = RunFolder(finished_run).last_checkpoint
    assert newest is not None
    folder = tmp_path / "run"
    for step in (2, 4):
        shutil.copytree(finished_run / f"checkpoint-{step}", folder / f"checkpoint-{step}")
    path = folder / "checkpoint-4" / name
    content = path.read_bytes()
    path.unlink() if share is None else path.write_bytes(content[: int(len(content) * share)])
    assert damage_of(folder / "checkpoint-4") and RunFolder(folder).last_checkpoint == folder / "checkpoint-2"


def status_of(folder, store_uri):
    from mlflow import MlflowClient

    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    return MlflowClient(store_uri).get_run(run_id).info.status


def wait_for(condition, limit_s=120):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.02)
