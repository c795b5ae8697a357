"""Whole runs of the dark rooms: resumed, in two processes, refused, compared, and both models by their configs."""

import csv
import json
import re
import shlex

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoModel

from tasks.in_context_rl import compare
from tasks.in_context_rl.trained import Acted
from tests.helpers import (
    ROOT,
    assert_one_line,
    assert_resumed_is_uninterrupted,
    assert_two_processes_train_like_one,
    launched,
    launched_as_documented,
    results_of,
)
from trainers.commands import study
from trainers.run import main
from trainers.studies.study_file import read_seeded, tokens_of

from .model_helpers import Rows

SMALL = shlex.split(
    "--size 3 --horizon 10 --keep_every 1 --n_streams 4 --history_steps 200 --n_val_tasks 2 --eval_streams 1"
    " --eval_episodes 3 --eval_rollouts 2 --hidden_size 16 --intermediate_size 16"
    " --num_hidden_layers 1 --num_attention_heads 2 --num_encoder_layers 1"
)
TINY = [
    *SMALL,
    *shlex.split(
        "--task darkroom --per_device_train_batch_size 8 --learning_rate 1e-2 --logging_steps 1"
        " --threads 1 --use_cpu --window 20 --keep 10 --eval_steps 5"
    ),
]
COMPRESSED = shlex.split("--architecture compressed_ad --window 10 --keep 2 --n_latents 3 --depth_weights 0:1,2:2,5:1")


def test_a_resumed_run_ends_with_the_uninterrupted_runs_weights(prefix):
    """Stretches and depths are drawn anew in every epoch; the interruption is in the middle of one."""
    assert_resumed_is_uninterrupted([*TINY, *COMPRESSED, "--muon"], prefix)


@pytest.mark.parametrize("task", ["darkroom", "darkroom_permuted", "dark_key_to_door"])
def test_a_run_leaves_model_figures_and_what_it_is_to_be_compared_with(task, prefix):
    few = ["--max_train_tasks", "8", "--max_steps", "2"]
    assert main([*TINY, "--task", task, *few, "--output_dir", str(prefix / "run")]) == 0
    folder = prefix / "run"
    names = {path.name for path in folder.iterdir()}
    assert {f"{split}{name}.png" for split in ("", "test_") for name in ("curves", "per_task")} <= names
    results = results_of(folder)
    for name in ("normalised_return", "reference_source_normalised_return", "accuracy", "entropy_bound"):
        assert f"final_test_{name}" in results
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    counts = [entry["targets_of_depth_0"] for entry in history if "loss" in entry]
    assert counts == [8 * 20, 16 * 20]
    assert AutoModel.from_pretrained(folder).config.architecture == "ad"
    assert re.search(r"peak memory.* \d\.\d GB", (folder / "README.md").read_text())


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--hidden_size 20 --num_attention_heads 4", "--hidden_size 20 5"),
        ("--keep 100 --window 100", "--keep 100 --window"),
        ("--architecture compressed_ad --depth_weights 0:1,deep:2", "--depth_weights 0:1,deep:2"),
        ("--depth_weights 0:1,1:2", "--depth_weights --architecture compressed_ad"),
        ("--architecture compressed_ad --window 10 --keep 2 --depth_weights 60:1", "490 200"),
        ("--window 300", "300 200"),
        ("--history_steps 205", "--history_steps 205 10"),
        ("--n_val_tasks 8", "--n_val_tasks 8"),
        ("--size 16", "--size 16"),
        ("--source oracle", "--source oracle"),
        ("--label_smoothing_factor 0.1", "--label_smoothing_factor HistoryTrainer"),
        ("--group_by_length", "--group_by_length"),
        ("--size 9 --horizon 4", "--horizon 4 --size 9 40 81"),
        ("--probe", "--probe darkroom"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(flags, names, prefix, capsys):
    before = set(prefix.glob("runs/*"))
    assert main([*TINY, *shlex.split(flags)]) == 2
    assert_one_line(capsys.readouterr().err, *names.split())
    assert set(prefix.glob("runs/*")) == before


# --- the comparison


def test_a_comparison_gives_means_with_intervals_paired_differences_and_ratios_to_the_first():
    returns, scores = torch.zeros(2, 1, 1, 3).numpy(), np.array([[0.2], [0.6]])
    measured = {"optimality": 0.8, "return_last": 1.0, "normalised_return": 0.5, "success_rate": 1.0, "regret": 7}
    flops, seconds = {"cached": 4.0, "recomputed": 10.0}, [1e-6, 2e-6, 9e-6]
    one = Acted(returns, scores, 10 * scores, {1: measured, 2: measured}, 100, 10, flops, seconds)
    better = {seed: {**measured, "optimality": share} for seed, share in ((1, 0.9), (2, 0.7))}
    flops, seconds = {"cached": 2.0, "recomputed": 1.0}, [1e-6, 1e-6, 1e-6]
    two = Acted(returns, scores, np.array([[3.0], [1.0]]), better, 40, 20, flops, seconds, 1.84)
    first, second = compare.summary({"one": one, "two": two})
    assert first["context_ratio"] == first["flops_cached_ratio"] == first["time_ratio"] == 1
    half = stats.t.ppf(0.975, 1) * np.std([0.7, 0.9], ddof=1) / np.sqrt(2)
    assert second["optimality"] == pytest.approx(0.8) and second["optimality_from"] == pytest.approx(0.8 - half)
    assert second["optimality_difference_to"] == pytest.approx(half) and first["optimality_difference_seeds"] == 0
    assert first["interquartile_mean"] == pytest.approx(0.4) and first["interquartile_mean_from"] == pytest.approx(0.2)
    assert (second["context_ratio"], second["flops_cached_ratio"], second["flops_recomputed_ratio"]) == (0.4, 0.5, 0.1)
    assert second["time_ratio"] == pytest.approx(0.5) and second["us_per_action"] == pytest.approx(1.0)
    assert (first["better_return"], first["better_regret"], second["better_return"]) == (None, None, 0.5)
    assert second["better_regret"] == 0.75  # of the pairs 3:2, 3:6, 1:2 and 1:6 all but the first are less
    shown = compare.table([first, second])
    assert "1.8 x" in shown and "source never there" in shown
    assert "80.0% [-47.1%, 207.1%]" in shown and "means over n seeds, 2 at most" in shown
    assert "normalised return: two minus one, same seeds (n = 2): +0.000 [+0.000, +0.000]" in shown


RL_STUDIES = (
    "darkroom_small",
    "darkroom",
    "dark_key_to_door",
    "darkroom_compression",
    "darkroom_context",
    "darkroom_map",
)
STUDIES = [ROOT / "configs" / "studies" / f"{name}.yaml" for name in RL_STUDIES]


@pytest.mark.usefixtures("datasets_once")
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_run_of_a_study_dry_runs(path):
    for flags in read_seeded(path).runs.values():
        argv = tokens_of({**flags, "n_streams": 1, "max_train_tasks": 2, "n_val_tasks": 2})
        assert main([*argv, "--dry_run", "--use_cpu", "--threads", "1"]) == 0


@pytest.mark.slow
def test_the_comparison_trains_every_model_once(prefix, tmp_path, capsys):
    pairs = zip(SMALL[::2], SMALL[1::2], strict=True)
    small = {name.removeprefix("--"): value for name, value in pairs}
    model = {"window": 10, "keep": 2, "n_latents": 3, "depth_weights": '"0:1"'}
    shared = {**small, **model, "max_steps": 2, "eval_steps": 2, "use_cpu": True}
    flags = ", ".join(f"{name}: {value}" for name, value in shared.items())
    runs = f"a: {{config: darkroom, {flags}}}, b: {{config: darkroom_compressed_ad, {flags}}}"
    (tmp_path / "x.yaml").write_text(f"report: comparison\nseeds: [1]\nruns: {{{runs}}}\n")
    argv = ["--study", str(tmp_path / "x.yaml"), "--output_dir", str(prefix / "x"), "--rollouts", "2"]
    for again in (False, True):
        assert study.main(argv) == 0
        assert capsys.readouterr().out.count("finished already") == 2 * again
    rows = list(csv.DictReader((prefix / "x" / "compare.csv").read_text().splitlines()))
    assert [row["model"] for row in rows] == ["a", "b"] and float(rows[1]["context_ratio"]) == pytest.approx(1.3)
    assert (prefix / "x" / "compare.png").is_file()


@pytest.mark.slow
def test_runs_on_different_datasets_are_not_compared(prefix, tmp_path, capsys):
    flags = ", ".join(f"{n.removeprefix('--')}: {v}" for n, v in zip(SMALL[::2], SMALL[1::2], strict=True))
    shared = f"config: darkroom, {flags}, window: 20, keep: 10, max_steps: 1, eval_steps: 1, use_cpu: true"
    (tmp_path / "x.yaml").write_text(
        f"report: comparison\nseeds: [1]\nruns: {{a: {{{shared}}}, b: {{{shared}, dataset_seed: 7}}}}\n"
    )
    assert study.main(["--study", str(tmp_path / "x.yaml"), "--output_dir", str(prefix / "x")]) == 2
    assert_one_line(capsys.readouterr().err.splitlines(keepends=True)[-1], "datasets")


def test_the_figure_shows_a_curve_for_every_seed_mean_and_reference():
    returns = np.arange(24.0).reshape(2, 2, 2, 3)  # seeds, tasks, rollouts, episodes
    scores = np.array([[0.0, 1.0], [0.5, 1.0]])  # seeds, tasks
    found = {name: Acted(returns, scores, scores, {}, context, 1, {}, []) for name, context in (("a", 100), ("b", 40))}
    axes, profiles = compare._figure(found, Rows(), "x").axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["a (sees 100; n = 2)"] == lines["b (sees 40; n = 2)"] == returns.mean(axis=(0, 1, 2)).tolist()
    assert lines["the source, same tasks"] == [10, 11] and len(lines) == 2 * 3 + 6
    assert lines["posterior sampling (regret 3)"] == [6, 6, 6]
    assert {"optimal actions (7.00)", "random actions (0.20)"} <= lines.keys()
    assert {line.get_label() for line in profiles.lines} >= {"a", "b"}


# --- slow


@pytest.mark.slow
def test_two_processes_train_with_batches_that_do_not_use_the_encoder(prefix):
    folder = prefix / "depths"
    launched([*TINY, *COMPRESSED[:-1], "0:3,1:1", "--max_steps", "8", "--output_dir", str(folder)], 2)
    assert (folder / "results.json").is_file()


@pytest.mark.slow
def test_two_processes_train_like_one(prefix):
    """Where a stretch begins belongs to its row; the depth belongs to a process's batch, so here there is only one."""
    argv = [*TINY, *COMPRESSED[:-1], "2:1"]
    assert_two_processes_train_like_one(argv, 8, ["final_test_accuracy", "final_test_loss"], prefix)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["darkroom", "darkroom_compressed_ad", "darkroom_original", "darkroom_permuted"])
def test_each_model_trains_by_its_config(config, prefix):
    task = "darkroom_permuted" if config == "darkroom_permuted" else "darkroom"
    printed = launched_as_documented(
        f"--task {task} --config configs/{config}.yaml --n_streams 2 --max_steps 4 --eval_episodes 2 --eval_rollouts 1"
        f" --per_device_train_batch_size 8 --use_cpu --output_dir {prefix / config}"
    )
    assert "final_test at step" in printed and "reference source" in printed
    assert (prefix / config / "curves.png").stat().st_size > 10_000
