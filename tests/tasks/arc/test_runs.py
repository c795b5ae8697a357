"""Whole runs of the arc task: resumed, in two processes, refused, and the three models by their configs."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from transformers import AutoModel

from tasks.arc import ladder
from tests.helpers import (
    ROOT,
    assert_named,
    assert_one_line,
    assert_resumed_is_uninterrupted,
    assert_two_processes_train_like_one,
    launched_as_documented,
    refusal,
    results_of,
)
from trainers import registry
from trainers.commands import study
from trainers.folders import dataset_folder
from trainers.run import main
from trainers.studies.study_file import read_seeded

TINY = shlex.split(
    "--task arc --max_side 10 --pairs_per_task 9 --n_val 1 --n_test 2 --hidden_size 16 --intermediate_size 16"
    " --num_encoder_layers 1 --num_hidden_layers 1 --num_attention_heads 2 --per_device_train_batch_size 16"
    " --learning_rate 1e-2 --logging_steps 1 --threads 1 --use_cpu --evals_per_epoch 1"
)
VARIED = shlex.split("--resample_context --augment_dihedral --augment_colours --group_by_length")


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_uninterrupted_runs_weights(prefix):
    """Ten steps are two epochs of six and a part: demonstrations, turns and colours are drawn anew in each."""
    argv = [*TINY[:-2], *VARIED, "--muon", "--restart_epochs", "2"]
    assert_resumed_is_uninterrupted(argv, prefix)


def test_a_run_leaves_model_figures_and_measured_baselines(prefix):
    argv = shlex.split("--num_train_epochs 3 --keep_best 1 --restart_epochs 2 --min_learning_rate 1e-3")
    argv += ["--metric_for_best_model", "eval_validation_loss"]  # no two are equal
    assert main([*TINY, *argv, "--bridge", "concat_mlp", "--output_dir", str(prefix / "run")]) == 0
    folder = prefix / "run"
    names = {path.name for path in folder.iterdir()}
    assert {
        f"{split}{name}.png" for split in ("", "unseen_tasks_", "test_") for name in ("episodes", "per_task")
    } <= names
    results = results_of(folder)
    for split in ("validation", "unseen_tasks", "test"):
        assert f"final_{split}_exact_match" in results and f"final_{split}_baseline_copy_cell_accuracy" in results
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert sorted({round(rate, 9) for rate in rates}) == pytest.approx([0.0055, 0.01])  # constant within an epoch
    best = int(Path(results["best_checkpoint"]).name.split("-")[1])
    assert {int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")} == {best, results["steps"]}
    assert AutoModel.from_pretrained(folder).config.bridge == "concat_mlp"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--architecture decoder_only", "decoder_only --positions 2d --colours equivariant"),
        ("--bridge prompt", "--bridge prompt --architecture decoder_only"),
        ("--hidden_size 20", "--hidden_size 20 10"),
        ("--label_smoothing_factor 0.1", "--label_smoothing_factor ArcTrainer"),
        ("--activation_checkpointing", "activation_checkpointing ArcModel"),
        ("--min_learning_rate 1e-5", "--min_learning_rate --restart_epochs"),
        ("--restart_epochs 2 --lr_scheduler_type cosine", "--restart_epochs --lr_scheduler_type"),
        ("--keep_best 0", "--keep_best 0"),
        ("--fp16", "--fp16"),
        ("--train_sampling_strategy group_by_length", "--group_by_length"),
        ("--train_source arcagi/trian", "arcagi/trian arcagi/train"),
        ("--unseen_source nowhere", "nowhere"),
        ("--pairs_per_task 4 --n_val 2 --n_test 2", "--pairs_per_task 4"),
        ("--pairs_per_task 5 --n_val 2 --n_test 1", "2 14"),
        ("--n_context 6", "6 14"),
        ("--max_side 31", "--max_side 31"),
        ("--probe", "--probe arc"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(flags, names, prefix, capsys):
    before = set(prefix.glob("runs/*"))
    assert main([*TINY, *shlex.split(flags)]) == 2
    assert_one_line(capsys.readouterr().err, *names.split())
    assert set(prefix.glob("runs/*")) == before


def test_what_a_config_says_of_the_data_yields_to_a_given_dataset_aloud(prefix, capsys):
    task = registry.load("arc")
    options = task.options(max_side=12, pairs_per_task=9, n_val=1, n_test=2)
    folder = dataset_folder.build_or_load(task, options, prefix).path
    assert main(["--config", "arc", "--dataset", str(folder), "--dry_run", "--use_cpu", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    side, resampled = [line for line in shown.splitlines() if line.startswith("adjusted: ")]
    assert_named(side, "max_side", 12, "configs/arc.yaml", 10)
    assert_named(resampled, "resample_context", False)


# --- the ladder


def test_a_ladder_gives_means_with_intervals_paired_differences_and_the_baselines():
    common = {f"final_{split}_baseline_copy_cell_accuracy": 0.5 for split in ("test", "unseen_tasks")}
    found = {
        "one": {1: {"final_test_exact_match": 0.2, **common}, 2: {"final_test_exact_match": 0.6, **common}},
        "two": {1: {"final_test_exact_match": 0.9, **common}},
        "three": {2: {"final_test_exact_match": 0.7, **common}, 1: {"final_test_exact_match": 0.3, **common}},
        "failed": {},
    }
    rows = {row["model"]: row for row in ladder.summary(found)}
    assert rows["one"]["final_test_exact_match"] == pytest.approx(0.4)
    half = stats.t.ppf(0.975, 1) * np.std([0.2, 0.6], ddof=1) / np.sqrt(2)
    assert rows["one"]["final_test_exact_match_to"] == pytest.approx(0.4 + half)
    assert rows["two"]["final_test_exact_match_to"] is None and rows["two"]["final_test_pass_at_2"] is None
    assert rows["three"]["final_test_exact_match_difference"] == pytest.approx(0.1)  # seed by seed
    assert rows["three"]["final_test_exact_match_difference_from"] == pytest.approx(0.1)
    assert rows["two"]["final_test_exact_match_difference_seeds"] == 1 and rows["failed"]["seeds"] == 0
    assert rows["baseline copy"]["final_unseen_tasks_cell_accuracy"] == 0.5
    shown = ladder.table(list(rows.values()))
    assert "means over n seeds, 2 at most; in brackets Student's 95 %" in shown and "40.0% [-214.1%, 294.1%]" in shown
    assert "held-out pairs: three minus one, same seeds (n = 2): +10.0% [+10.0%, +10.0%]" in shown
    assert "two minus one" not in shown
    assert "90.0%" in shown and "50.0%" in shown


@pytest.mark.parametrize("text", ["", "runs: {}", "seeds: [1]\nruns: {a: {}}", "seeds: x\nruns: {a: {config: b}}", "{"])
def test_what_is_no_ladder_is_refused(text, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with refusal("x.yaml"):
        read_seeded(tmp_path / "x.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "studies").glob("arc*.yaml")), ids=lambda path: path.stem)
def test_every_step_of_a_ladder_dry_runs(path, prefix, monkeypatch):
    for flags in read_seeded(path).runs.values():
        argv = [f"--{name}={value}" for name, value in flags.items()]
        assert main([*argv, "--pairs_per_task", "70", "--dry_run", "--use_cpu", "--threads", "1"]) == 0


# --- slow


@pytest.mark.slow
def test_two_processes_train_like_one(prefix):
    """What is drawn belongs to rows, not to batches or processes."""
    varied = [*VARIED[:-1], "--no_group_by_length"]  # batches of another size are grouped otherwise
    metrics = ["final_test_exact_match", "final_test_cell_accuracy", "final_unseen_tasks_cell_accuracy"]
    assert_two_processes_train_like_one([*TINY, *varied], 16, metrics, prefix)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["arc_decoder_only", "arc_encoder_decoder", "arc_champion"])
def test_each_model_trains_two_epochs_by_its_config(config, prefix):
    printed = launched_as_documented(
        f"--task arc --config configs/{config}.yaml --max_side 10 --pairs_per_task 9 --n_val 1 --n_test 2"
        f" --num_train_epochs 2 --hidden_size 32 --intermediate_size 32 --no_bf16 --use_cpu"
        f" --output_dir {prefix / config}"
    )
    assert "final_unseen_tasks at step" in printed and "trivial baseline copy" in printed
    losses = [
        entry["loss"]
        for entry in json.loads((prefix / config / "trainer_state.json").read_text())["log_history"]
        if "loss" in entry
    ]
    assert (prefix / config / "episodes.png").stat().st_size > 10_000 and all(loss < 4 for loss in losses)


@pytest.mark.slow
def test_the_ladder_trains_every_model_once(prefix, tmp_path, capsys):
    small = {name: TINY[TINY.index(f"--{name}") + 1] for name in ("hidden_size", "intermediate_size", "pairs_per_task")}
    flags = ", ".join(f"{name}: {value}" for name, value in {**small, "n_val": 1, "n_test": 2, "max_steps": 2}.items())
    runs = f"a: {{config: arc_encoder_decoder_small, {flags}}}, b: {{config: arc, {flags}}}"
    (tmp_path / "ladder.yaml").write_text(f"report: ladder\nseeds: [1, 2]\nruns: {{{runs}}}\n")
    for again in (False, True):
        assert study.main(["--study", str(tmp_path / "ladder.yaml"), "--output_dir", str(prefix / "ladder")]) == 0
        assert capsys.readouterr().out.count("finished already") == 4 * again
    assert len((prefix / "ladder" / "ladder.csv").read_text().splitlines()) == 1 + 2 + 4  # two models, four baselines
