"""What cannot work is found before anything is made; which pass a text model is trained by."""

import json

import pytest

from tests.helpers import assert_one_line
from trainers.run import main


def left(prefix):
    return sorted(path.name for path in prefix.iterdir() if path.name != "datasets")


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        (["--per_device_train_batch_size", "64"], "--per_device_train_batch_size"),
        (["--per_device_eval_batch_size", "64"], "--per_device_eval_batch_size"),
    ],
)
def test_a_split_smaller_than_a_batch_that_is_dropped_is_refused(prefix, tiny, capsys, more, flag):
    assert main([*tiny, "--dataloader_drop_last", *more]) == 2
    assert flag in capsys.readouterr().err and left(prefix) == []


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("--dataloader_persistent_workers", "--dataloader_num_workers"),
        ("--optim_target_modules all", "--optim_target_modules"),
        ("--debug tpu_metrics_debug", "tpu_metrics_debug"),
        ('--activation_checkpointing --activation_checkpointing_kwargs {"nonsense":1}', "nonsense"),
        ('--accelerator_config {"gradient_accumulation_kwargs":{"nonsense":1}}', "--gradient_accumulation_steps"),
        ('--accelerator_config {"gradient_accumulation_kwargs":{"num_steps":4}}', "--gradient_accumulation_steps"),
        ("--use_liger_kernel", "--use_liger_kernel"),
        ("--neftune_noise_alpha 5", "--neftune_noise_alpha"),
    ],
)
def test_what_would_fail_at_the_first_step_is_refused_before_anything_is_made(prefix, tiny, capsys, more, named):
    assert main([*tiny, *more.split()]) == 2
    assert_one_line(capsys.readouterr().err, named)
    assert left(prefix) == []


@pytest.mark.parametrize("flag", ["--stock_forward", "--loss_on all"])
def test_what_is_for_texts_is_refused_for_other_tasks(prefix, capsys, flag):
    argv = ["--task", "darkroom", "--n_streams", "1", "--no_muon", "--use_cpu", "--threads", "1", *flag.split()]
    assert main(argv) == 2
    assert_one_line(capsys.readouterr().err, flag.split()[0])
    assert left(prefix) == []


def test_a_loss_on_everything_is_trained_evaluated_and_kept_when_resumed(prefix, tiny, capsys):
    run = prefix / "run"
    assert main([*tiny, "--loss_on", "all", "--dry_run"]) == 0
    shown = capsys.readouterr().out.split("first training row:")[1].split()
    assert shown.count("-") == 1 and shown.index("<bos>") == shown.index("-") - 1  # the only token without a loss
    assert main([*tiny, "--loss_on", "all", "--output_dir", str(run)]) == 0
    assert "training pass: transformers' own" in capsys.readouterr().out
    assert json.loads((run / "settings.json").read_text())["resolved"]["loss_on"] == "all"
    losses = {}
    for loss_on in ("answer", "all"):
        argv = [*tiny, "--loss_on", loss_on, "--init_from", str(run), "--learning_rate", "1e-300", "--max_steps", "2"]
        assert main([*argv, "--output_dir", str(prefix / loss_on)]) == 0
        losses[loss_on] = json.loads((prefix / loss_on / "results.json").read_text())["final_memorisation_loss"]
    assert losses["all"] == pytest.approx(json.loads((run / "results.json").read_text())["final_memorisation_loss"])
    assert losses["all"] != pytest.approx(losses["answer"], rel=1e-3)
    capsys.readouterr()
    resumed = ["--output_dir", str(run), "--resume_from_checkpoint", "last", "--max_steps", "6"]
    assert main([*resumed, "--loss_on", "answer"]) == 2
    assert_one_line(capsys.readouterr().err, "--loss_on", "answer", "all")
    assert main(resumed) == 0


def test_both_passes_train_alike_and_are_named(prefix, tiny, capsys):
    losses = []
    for flags, words in (([], "causal_lm.py"), (["--stock_forward"], "transformers' own")):
        assert main([*tiny, *flags, "--output_dir", str(prefix / f"run{len(flags)}")]) == 0
        out = capsys.readouterr().out
        assert out.count("training pass: ") == 1 and f"training pass: {words}" in out.replace("trainers/models/", "")
        state = json.loads((prefix / f"run{len(flags)}" / "checkpoint-4" / "trainer_state.json").read_text())
        losses.append([entry["loss"] for entry in state["log_history"] if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_tokens_seen_are_counted(prefix, tiny):
    assert main([*tiny, "--include_num_input_tokens_seen", "non_padding"]) == 0
    state = json.loads(next(prefix.glob("runs/*/checkpoint-4/trainer_state.json")).read_text())
    assert state["num_input_tokens_seen"] > 0
