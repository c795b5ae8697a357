"""A resumed run is its own continuation: its settings come from its folder, and what is changed takes effect."""

import json
import shutil

import pytest
import torch

from tests.helpers import assert_one_line, results_of, same, weights
from trainers.run import main

PLAIN = ["--no_muon", "--optim", "adamw_torch", "--lr_scheduler_type", "linear", "--warmup_steps", "0"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store_uri):
    """A run of four steps, with all rows in every batch and a checkpoint a step."""
    from tests.conftest import TINY

    with pytest.MonkeyPatch.context() as patch:
        prefix = tmp_path_factory.mktemp("resume")
        patch.setenv("EXP_DIR_PREFIX", str(prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        steps = ["--eval_steps", "1", "--per_device_train_batch_size", "40", "--logging_steps", "3"]
        argv = [*TINY, *steps, *PLAIN, "--weight_decay", "0", "--learning_rate", "1e-2", "--keep_best", "5"]
        assert main([*argv, "--output_dir", str(prefix / "whole")]) == 0
        yield prefix / "whole"


@pytest.fixture
def cut(whole, monkeypatch, store_uri):
    """The run as if it had been killed after two steps, and the command that goes on with it."""
    monkeypatch.setenv("EXP_DIR_PREFIX", str(whole.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    folder = whole.with_name("cut")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    for name in ("checkpoint-3", "checkpoint-4"):
        shutil.rmtree(folder / name)
    (folder / "results.json").unlink()
    return folder


def resume(folder, *more):
    return main(["--output_dir", str(folder), "--resume_from_checkpoint", "last", *more])


def losses(folder):
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]


def test_nothing_but_the_folder_is_typed_and_the_end_is_the_uninterrupted_runs(whole, cut):
    assert resume(cut) == 0
    for name in (".", "checkpoint-4"):
        assert same(weights(whole / name), weights(cut / name))
    assert losses(whole) == losses(cut) and losses(whole)[0][0] == 3  # logged after the cut, over steps of both parts
    timeless = [{k: v for k, v in results_of(folder).items() if not k.endswith("_s")} for folder in (whole, cut)]
    assert timeless[0] == timeless[1]


def test_a_folder_alone_can_be_given_too(cut, capsys):
    assert main(["--resume_from_checkpoint", str(cut), "--dry_run"]) == 0
    assert f"{cut} (resume)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("dataset_seed", "7"),
        ("n_cities", "41"),
        ("hidden_size", "32"),
        ("per_device_train_batch_size", "8"),
        ("optim", "sgd"),
        ("freeze", "embed_tokens"),
        ("lr_scheduler_type", "cosine"),
        ("seed", "1"),
    ],
)
def test_what_the_checkpoint_fixes_is_refused_by_name_and_nothing_changes(cut, capsys, flag, value):
    before = {path.name for path in cut.iterdir()}
    assert resume(cut, f"--{flag}", value) == 2
    assert_one_line(capsys.readouterr().err, f"--{flag}", value)
    assert {path.name for path in cut.iterdir()} == before


def test_a_changed_rate_is_that_of_a_plain_loop_from_then_on(whole, cut, store_uri):
    assert resume(cut, "--learning_rate", "2e-3", "--weight_decay", "0.1") == 0
    expected = plain_loop(whole, rate=2e-3, weight_decay=0.1)
    trained = weights(cut / "checkpoint-4")
    for name, value in expected.items():
        assert torch.allclose(trained[name], value, atol=1e-6), name
    settings = json.loads((cut / "settings.json").read_text())
    assert {(c["name"], c["before"], c["after"], c["step"]) for c in settings["changes"]} == {
        ("learning_rate", 1e-2, 2e-3, 2),
        ("weight_decay", 0.0, 0.1, 2),
    }
    assert settings["resolved"]["learning_rate"] == 2e-3


def plain_loop(run, rate, weight_decay):
    """Steps 3 and 4 in plain PyTorch, from what checkpoint-2 holds; a batch is all rows, so their order is free."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.folders.run_folder import RunFolder

    model = AutoModelForCausalLM.from_pretrained(run / "checkpoint-2")
    tokenizer = AutoTokenizer.from_pretrained(run)
    decays = {n for n, p in model.named_parameters() if p.ndim > 1 and "norm" not in n}
    named = [(name, p) for name, p in model.named_parameters()]
    groups = [[p for n, p in named if n in decays], [p for n, p in named if n not in decays]]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": weight_decay}, {"params": groups[1], "weight_decay": 0.0}]
    )
    optimizer.load_state_dict(torch.load(run / "checkpoint-2" / "optimizer.pt"))
    optimizer.param_groups[0]["weight_decay"] = weight_decay
    table = rows_of(RunFolder(run).dataset)
    for step in (2, 3):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / 4)
        loss = mean_answer_loss(model, tokenizer, table)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return dict(model.state_dict())


def rows_of(dataset):
    from trainers.folders import dataset_folder

    return dataset_folder.load(dataset, "location").splits["train"]


def mean_answer_loss(model, tokenizer, table):
    """The mean cross-entropy of all answers' tokens, a row at a time; `<eos>` is the last of them."""
    total, count = torch.zeros(()), 0
    for prompt, answer in zip(table["prompt"], table["answer"], strict=True):
        start = [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        target = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        logits = model(torch.tensor([[*start, *target]])).logits[0, len(start) - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum")
        count += len(target)
    return total / count


def test_cadence_and_patience_are_the_ones_asked_for(cut):
    more = ["--logging_steps", "1", "--eval_steps", "2", "--max_steps", "6", "--early_stopping_patience", "3"]
    assert resume(cut, *more) == 0
    state = json.loads((cut / "trainer_state.json").read_text())
    evaluated = {entry["step"] for entry in state["log_history"] if "eval_memorisation_loss" in entry}
    assert {4, 6} <= evaluated and not {3, 5} & evaluated
    assert [step for step, _ in losses(cut)] == [3, 4, 5, 6] or [step for step, _ in losses(cut)][-3:] == [4, 5, 6]
    (stopping,) = [v for k, v in state["stateful_callbacks"].items() if k == "StopWithoutProgress"]
    assert stopping["args"]["early_stopping_patience"] == 3


def test_a_checkpoint_without_its_optimizer_is_passed_over(cut, capsys):
    (cut / "checkpoint-2" / "optimizer.pt").unlink()
    assert resume(cut, "--dry_run") == 0
    assert "optimizer.pt" in capsys.readouterr().out


def test_a_run_that_was_moved_evaluates_its_own_best_checkpoint(whole, cut, tmp_path):
    moved = cut.with_name("moved")
    shutil.rmtree(moved, ignore_errors=True)
    shutil.copytree(whole, moved)
    (moved / "results.json").unlink()
    shutil.rmtree(cut)  # the folder that the state was written in may be gone, or another run's
    assert resume(moved) == 0
    assert same(weights(moved), weights(whole))
    assert results_of(moved)["best_checkpoint"] == results_of(whole)["best_checkpoint"]


def test_a_run_is_repeated_from_its_folder(whole, cut):
    again = whole.with_name("again")
    assert main(["--config", str(whole), "--output_dir", str(again)]) == 0
    assert same(weights(whole), weights(again))


def test_the_best_model_has_a_checkpoint_and_final_numbers_its_step(prefix, tiny, store_uri):
    from mlflow import MlflowClient

    from trainers.common.ranking import best_steps

    folder = prefix / "run"
    argv = [*tiny, *PLAIN, "--learning_rate", "1", "--eval_steps", "1", "--save_steps", "2", "--max_steps", "5"]
    assert main([*argv, "--output_dir", str(folder)]) == 0
    state = json.loads((folder / "trainer_state.json").read_text())
    trained = [entry for entry in state["log_history"] if entry["step"] > 0]
    (best,) = best_steps(trained, "memorisation_haversine_km_mean", greater=False, count=1)
    assert best not in (2, 4, 5), "the test is of a best evaluation between two checkpoints"
    results = results_of(folder)
    assert (results["kept_step"], results["best_checkpoint"]) == (best, f"checkpoint-{best}")
    assert same(weights(folder), weights(folder / f"checkpoint-{best}"))
    client = MlflowClient(store_uri)
    (point,) = client.get_metric_history(run_id_of(folder), "memorisation_final/haversine_km_mean")
    assert (point.step, point.value) == (best, results["final_memorisation_haversine_km_mean"])
    assert "train/loss" in client.get_run(run_id_of(folder)).data.metrics
    assert state["global_step"] == 5


def run_id_of(folder):
    return json.loads((folder / "run.json").read_text())["mlflow_run_id"]


@pytest.mark.parametrize(
    ("n_steps", "kwargs", "warmup"),
    [(20, {"num_decay_steps": 150}, 5), (200, {"num_decay_steps": 150}, 50), (20, None, 10), (60, None, 50)],
)
def test_warm_up_and_decay_fit_into_the_run(n_steps, kwargs, warmup, tmp_path, capsys):
    from transformers import TrainingArguments

    from trainers.runs.cadence import fitted_schedule

    training = TrainingArguments(str(tmp_path), use_cpu=True, warmup_steps=50, lr_scheduler_kwargs=kwargs)
    changes = fitted_schedule(training, n_steps)
    assert changes.get("warmup_steps", 50) == warmup
    assert changes.get("lr_scheduler_kwargs", {}).get("num_decay_steps", 15) == 15
    assert ("adjusted" in capsys.readouterr().out) == bool(changes)


@pytest.mark.parametrize("name", ["memorisation_loss", "eval_memorisation_loss"])
def test_the_metric_that_chooses_may_be_named_short(name, prefix, tiny):
    argv = [*tiny, *PLAIN, "--learning_rate", "1e-2", "--metric_for_best_model", name]
    assert main([*argv, "--output_dir", str(prefix / "run")]) == 0
    assert results_of(prefix / "run")["best_checkpoint"] == "checkpoint-4"


def test_a_rate_that_follows_from_no_formula_is_not_said_to_be_changed(prefix, tiny, capsys):
    plateau = ["--lr_scheduler_type", "reduce_lr_on_plateau", "--lr_scheduler_kwargs", '{"patience": 1}']
    folder = prefix / "run"
    assert main([*tiny, "--no_muon", *plateau, "--output_dir", str(folder)]) == 0
    capsys.readouterr()
    assert resume(folder, "--learning_rate", "1e-3", "--max_steps", "6", "--dry_run") == 2
    assert_one_line(capsys.readouterr().err, "--learning_rate", "reduce_lr_on_plateau")


def test_a_run_that_moved_with_its_project_knows_its_dataset(whole, tmp_path):
    from trainers.folders.run_folder import RunFolder

    dataset = RunFolder(whole).dataset
    run = tmp_path / "outputs" / "runs" / "whole"
    shutil.copytree(dataset, tmp_path / "outputs" / "datasets" / dataset.name)
    shutil.copytree(whole, run)
    settings = json.loads((run / "settings.json").read_text())
    settings["dataset_folder"] = str(tmp_path / "old place" / "datasets" / dataset.name)
    (run / "settings.json").write_text(json.dumps(settings))
    assert RunFolder(run).dataset == tmp_path / "outputs" / "datasets" / dataset.name


def test_what_the_run_had_wins_over_the_launcher_that_goes_on_with_it(cut, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    assert resume(cut, "--dry_run") == 2  # never given for the run, so the launcher's word is a difference
    assert_one_line(capsys.readouterr().err, "--gradient_accumulation_steps")
    settings = json.loads((cut / "settings.json").read_text())
    settings["given"]["gradient_accumulation_steps"] = {"value": ["1"], "from": "command line"}
    (cut / "settings.json").write_text(json.dumps(settings))
    assert resume(cut, "--dry_run") == 0


def test_a_run_without_its_settings_says_so(cut, capsys):
    (cut / "settings.json").unlink()
    assert resume(cut) == 2
    assert_one_line(capsys.readouterr().err, "settings.json", str(cut))


def test_a_run_with_later_checkpoints_is_not_resumed_in_its_middle(whole, monkeypatch, store_uri, capsys):
    monkeypatch.setenv("EXP_DIR_PREFIX", str(whole.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    assert main(["--resume_from_checkpoint", str(whole / "checkpoint-2"), "--max_steps", "6"]) == 2
    assert_one_line(capsys.readouterr().err, "--resume_from_checkpoint", "checkpoint-3", "checkpoint-4")


def test_a_finished_run_that_is_trained_further_has_no_results_until_it_ends_again(cut, whole, monkeypatch):
    shutil.copy(whole / "results.json", cut)

    def stop(trainer, *args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transformers.Trainer.train", stop)
        assert resume(cut, "--max_steps", "4") == 130
    assert not (cut / "results.json").exists()
