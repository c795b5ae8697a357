"""Whole runs, small: what they leave behind, what they track, resuming, fine-tuning, overwriting."""

import contextlib
import json
import os
import subprocess
import sys

import pytest
from transformers import Qwen2ForCausalLM

from tests.helpers import assert_named, same, weights
from trainers.common.environment import git_state
from trainers.run import main


def mlflow_run(folder, store_uri):
    import mlflow

    mlflow.set_tracking_uri(store_uri)
    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    return mlflow.get_run(run_id)


def load_table(name, run_id):
    """Column -> values of a table that a run has tracked."""
    from mlflow.artifacts import load_dict

    table = load_dict(f"runs:/{run_id}/{name}")
    return {column: [row[place] for row in table["data"]] for place, column in enumerate(table["columns"])}


def artifacts(run_id, path=None):
    from mlflow import MlflowClient

    return {item.path for item in MlflowClient().list_artifacts(run_id, path)}


def test_a_run_leaves_a_complete_folder(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert names >= {
        "README.md",
        "run.json",
        "settings.json",
        "results.json",
        "summary.png",
        "world_map.png",
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "checkpoint-0",
        "checkpoint-2",
        "checkpoint-4",
    }
    for name in ("summary.png", "world_map.png"):
        assert (finished_run / name).read_bytes().startswith(b"\x89PNG")
    umask = os.umask(0o022)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in finished_run.rglob("*") if path.is_file()} == {0o666 & ~umask}
    card = (finished_run / "README.md").read_text(encoding="utf-8")
    assert "final_memorisation_haversine_km_mean" in card and "--n_cities 40" in card


def test_checkpoint_0_is_the_untrained_model(finished_run):
    assert not same(weights(finished_run / "checkpoint-0"), weights(finished_run / "checkpoint-4"))
    state = json.loads((finished_run / "checkpoint-0" / "trainer_state.json").read_text())
    assert state["global_step"] == 0 and state["log_history"][0]["step"] == 0


def test_the_folder_is_the_best_checkpoint(finished_run):
    results = json.loads((finished_run / "results.json").read_text())
    best = finished_run / results["best_checkpoint"].rpartition("/")[2]
    assert same(weights(best), weights(finished_run))
    history = json.loads((finished_run / "trainer_state.json").read_text())["log_history"]
    name = "eval_memorisation_haversine_km_mean"
    seen = {entry["step"]: entry[name] for entry in history if name in entry}
    assert set(seen) == {0, 2, 4}
    assert min(seen[2], seen[4]) == pytest.approx(results["final_memorisation_haversine_km_mean"])


def test_transformers_alone_loads_the_folder_and_generates(finished_run):
    code = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
assert len(tokenizer) == model.config.vocab_size == 44, len(tokenizer)
inputs = tokenizer(["loc(c_1)=", "loc(c_12)="], padding=True, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=10)
print(tokenizer.batch_decode(output, skip_special_tokens=True))
assert not {"trainers", "tasks", "geo", "tokenization"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(finished_run)], capture_output=True, text=True, cwd=finished_run
    )
    assert done.returncode == 0, done.stderr
    assert "loc(c_1)=" in done.stdout


def test_the_run_is_tracked(finished_run, store_uri):
    run = mlflow_run(finished_run, store_uri)
    assert run.info.status == "FINISHED" and run.info.run_name == "location-001"
    assert run.data.params["hidden_size"] == "16" and run.data.params["n_cities"] == "40"
    assert len(run.data.params) < 50
    assert {
        "train/loss",
        "memorisation/haversine_km_mean",
        "memorisation/parse_rate",
        "memorisation/loss",
        "memorisation_final/haversine_km_mean",
        "Primary/memorisation_haversine_km_mean",
    } <= set(run.data.metrics)
    numbers = {name: name.count("baseline") + name.count("per_second") for name in run.data.metrics}
    assert not any(numbers.values()) and float(run.data.params["memorisation/baseline_haversine_km_mean"]) > 0
    assert "None" not in run.data.params.values() and "cities_csv" not in run.data.params
    assert run.data.tags["mlflow.note.content"].startswith("Give the coordinates of a city")
    assert {"task", "dataset.train_sha256", *git_state()} <= set(run.data.tags)  # outside git there is no commit
    assert {item.dataset.name.rpartition("/")[2] for item in run.inputs.dataset_inputs} == {"train", "memorisation"}
    assert artifacts(run.info.run_id, "figures") == {"figures/summary.png", "figures/world_map.png"}
    examples = load_table("examples.json", run.info.run_id)
    assert {(step, stage) for step, stage in zip(examples["step"], examples["stage"], strict=True)} == {
        *((0, "eval"), (2, "eval"), (4, "eval"), (4, "final"))
    }
    assert set(examples["which"]) == {"first", "worst", "random"} and len(examples["km"]) == 4 * 12
    assert artifacts(run.info.run_id, "config") == {
        "config/settings.json",
        "config/environment.txt",
        "config/git.diff",
    }
    assert (finished_run / "git.diff").read_text() == " M a.py\n"


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_registers_and_loads_the_model(finished_run, store_uri):
    import mlflow
    from mlflow import transformers as flavor

    run = mlflow_run(finished_run, store_uri)
    logged = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
    metrics = {metric.key: (metric.step, metric.value) for metric in logged.metrics}  # those of the model that is kept
    name = "memorisation_final/haversine_km_mean"
    assert metrics[name] == (4, run.data.metrics[name]) and {step for step, _ in metrics.values()} == {4}
    assert int(mlflow.register_model(f"runs:/{run.info.run_id}/location-001", "tiny").version) >= 1
    loaded = flavor.load_model("models:/tiny/1")
    assert type(loaded.model) is Qwen2ForCausalLM
    assert same(loaded.model.state_dict(), weights(finished_run))
    assert loaded("loc(c_1)=", max_new_tokens=3)[0]["generated_text"].startswith("loc(c_1)=")


def test_metrics_stand_at_the_steps_they_belong_to(finished_run, store_uri):
    from mlflow import MlflowClient

    run = mlflow_run(finished_run, store_uri)
    history = MlflowClient().get_metric_history(run.info.run_id, "memorisation/haversine_km_mean")
    assert [point.step for point in history] == [0, 2, 4]


@pytest.mark.parametrize("muon", [["--no_muon"], ["--muon"]], ids=["adamw", "muon"])
def test_a_resumed_run_ends_with_the_uninterrupted_runs_weights(prefix, tiny, store_uri, muon):
    whole, halves = prefix / "whole", prefix / "halves"
    common = [*tiny, *muon, "--lr_scheduler_type", "constant", "--max_grad_norm", "1"]
    assert main([*common, "--output_dir", str(whole)]) == 0
    assert main([*common, "--output_dir", str(halves), "--max_steps", "2"]) == 0
    first_id = mlflow_run(halves, store_uri).info.run_id
    assert main([*common, "--output_dir", str(halves), "--resume_from_checkpoint", "last"]) == 0
    assert same(weights(whole / "checkpoint-4"), weights(halves / "checkpoint-4"))
    run = mlflow_run(halves, store_uri)
    assert run.info.run_id == first_id and run.info.status == "FINISHED" and run.data.tags["drift.max_steps"] == "4"


def test_a_finished_run_can_be_given_more_epochs(prefix, tiny):
    steps = tiny.index("--max_steps")
    argv = [*tiny[:steps], *tiny[steps + 2 :], "--no_muon", "--lr_scheduler_type", "constant"]
    argv += ["--output_dir", str(prefix / "run")]
    assert main([*argv, "--num_train_epochs", "1"]) == 0
    assert main([*argv, "--num_train_epochs", "2", "--resume_from_checkpoint", "last"]) == 0
    assert json.loads((prefix / "run" / "results.json").read_text())["steps"] == 10
    assert (prefix / "run" / "checkpoint-10").is_dir()


EARLY = ["--max_steps", "40", "--eval_steps", "1", "--learning_rate", "1e-9", "--early_stopping_patience", "2"]


@pytest.mark.parametrize("more", [[], EARLY], ids=["all steps", "stopped early"])
def test_a_run_cut_off_in_its_last_evaluation_only_evaluates(prefix, tiny, monkeypatch, more):
    from trainers.base import WorldTrainer

    argv = [*tiny, *more, "--output_dir", str(prefix / "run")]
    assert main(argv) == 0
    first = json.loads((prefix / "run" / "results.json").read_text())
    (prefix / "run" / "results.json").unlink()
    monkeypatch.setattr(WorldTrainer, "train", lambda *args, **kwargs: pytest.fail("it trained again"))
    assert main([*argv, "--resume_from_checkpoint", "last"]) == 0
    again = json.loads((prefix / "run" / "results.json").read_text())
    assert {n: v for n, v in first.items() if not n.endswith("_s")} == {
        n: v for n, v in again.items() if n[-2:] != "_s"
    }


def test_fine_tuning_starts_from_the_given_weights(finished_run, prefix, tiny):
    argv = [*tiny, "--init_from", str(finished_run), "--output_dir", str(prefix / "fine")]
    assert main(argv) == 0
    assert same(weights(prefix / "fine" / "checkpoint-0"), weights(finished_run))


def test_overwriting_needs_to_be_asked_for(prefix, tiny, capsys):
    argv = [*tiny, "--max_steps", "1", "--output_dir", str(prefix / "run")]
    assert main(argv) == 0
    (prefix / "run" / "old.txt").write_text("old")
    assert main(argv) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*argv, "--overwrite", "--n_train", "999"]) == 2  # refused before anything is deleted
    assert (prefix / "run" / "old.txt").exists()
    assert main([*argv, "--overwrite"]) == 0
    assert (prefix / "run" / "old.txt").exists()  # what no run wrote is kept


def test_a_failing_run_is_recorded_as_failed(prefix, tiny, store_uri, monkeypatch):
    from tasks.geography.location.trainer import LocationTrainer

    def fail(*args):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(LocationTrainer, "score", fail)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        main([*tiny, "--output_dir", str(prefix / "run")])
    assert mlflow_run(prefix / "run", store_uri).info.status == "FAILED"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143)])
def test_a_stopped_run_is_recorded_as_killed(prefix, tiny, store_uri, monkeypatch, stop):
    from tasks.geography.location.trainer import LocationTrainer

    def interrupt(*args):
        raise stop

    monkeypatch.setattr(LocationTrainer, "score", interrupt)
    with contextlib.suppress(SystemExit):
        assert main([*tiny, "--output_dir", str(prefix / "run")]) == 130
    assert mlflow_run(prefix / "run", store_uri).info.status == "KILLED"


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(prefix, tiny, capsys, monkeypatch):
    from trainers.base import WorldTrainer

    compute_loss = WorldTrainer.compute_loss
    monkeypatch.setattr(
        WorldTrainer, "compute_loss", lambda self, *args, **kwargs: compute_loss(self, *args, **kwargs) * float("nan")
    )
    assert main([*tiny, "--no_eval_on_start", "--output_dir", str(prefix / "run")]) == 2
    assert_named(capsys.readouterr().err, "loss", "nan", 1)


def test_a_loss_that_breaks_between_two_log_lines_ends_the_run_too(prefix, tiny, capsys):
    argv = [*tiny, "--learning_rate", "1e30", "--logging_steps", "100", "--output_dir", str(prefix / "run")]
    assert main(argv) == 2
    assert_named(capsys.readouterr().err, "eval_memorisation_loss", "nan", 2)


def test_a_store_that_cannot_be_reached_is_said_before_anything_is_written(prefix, tiny, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main([*tiny, "--output_dir", str(prefix / "run")]) == 2
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err and not (prefix / "run").exists()


def test_early_stopping_stops(prefix, tiny, monkeypatch):
    argv = [
        *tiny,
        "--max_steps",
        "40",
        "--eval_steps",
        "1",
        "--learning_rate",
        "1e-9",
        "--early_stopping_patience",
        "2",
    ]
    assert main([*argv, "--output_dir", str(prefix / "run")]) == 0
    assert json.loads((prefix / "run" / "results.json").read_text())["steps"] < 10


def test_a_dataset_is_built_once(prefix, tiny, capsys):
    from trainers.commands import dataset

    argv = ["--task", "location", "--n_cities", "40"]
    assert dataset.main(argv) == 0 and "dataset built" in capsys.readouterr().out
    assert dataset.main(argv) == 0 and "dataset built" not in capsys.readouterr().out
    assert len(list((prefix / "datasets").glob("location-*"))) == 1


def test_held_out_cities_are_evaluated_as_validation(prefix, tiny):
    assert main([*tiny, "--n_train", "30", "--output_dir", str(prefix / "run")]) == 0
    assert "final_validation_haversine_km_mean" in json.loads((prefix / "run" / "results.json").read_text())
