"""Settings: precedence, types, suggestions, and the texts that go with them."""

from types import SimpleNamespace

import pytest

from tests.helpers import refusal
from trainers import registry
from trainers.settings.layers import flags_of
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings
from trainers.settings.training_fields import training_defaults


def read(argv):
    return read_request(argv, registry.load)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "my.yaml"
        path.write_text(text)
        return ["--config", str(path)]

    return write


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(config):
    file = config("task: location\nlearning_rate: 1e-4\nseed: 7\nlogging_steps: 3\n")
    settings = resolve_settings(read([*file, "--seed", "8", "--use_cpu"]))
    assert settings.training.learning_rate == 1e-4  # YAML alone would make this a string
    assert settings.training.seed == 8 and settings.training.logging_steps == 3
    assert settings.training.eval_on_start and settings.training.adam_beta1 == 0.9
    sources = settings.request.sources
    assert sources["seed"] == ("8", "command line") and sources["logging_steps"][1].endswith("my.yaml")
    assert sources["eval_on_start"] == ("True", "stack")


def test_of_two_settings_for_the_same_thing_the_later_layer_wins(config):
    file = config("task: location\nevals_per_epoch: 2\nnum_train_epochs: 9\n")
    settings = resolve_settings(read([*file, "--eval_steps", "5", "--max_steps", "20", "--use_cpu"]))
    assert settings.run.evals_per_epoch is None and settings.training.eval_steps == 5
    assert settings.training.save_steps == 5 and "evals_per_epoch" not in settings.request.sources


def test_both_in_one_place_contradict_each_other(config):
    with refusal("--evals_per_epoch", "--eval_steps", "my.yaml"):
        resolve_settings(read([*config("task: location\nevals_per_epoch: 2\neval_steps: 5\n"), "--use_cpu"]))


@pytest.mark.parametrize("argv", [["--n-train", "30"], ["--n_train=30"], ["--n_train", "30"]])
def test_every_usual_way_to_write_a_flag_works(argv):
    assert resolve_settings(read(["--task", "location", "--use_cpu", *argv])).dataset.n_train == 30


def test_flags_are_switched_on_and_off():
    settings = resolve_settings(
        read(["--task", "location", "--use_cpu", "--muon", "--no_eval_on_start", "--all=false"])
    )
    assert settings.run.muon and not settings.training.eval_on_start and not settings.dataset.all


def test_negative_and_odd_values_reach_the_range_check():
    for argv, names in (
        (["--n_train", "-5"], "--n_train -5"),
        (["--learning_rate", "-inf"], "--learning_rate -inf"),
        (["--adam_beta1", "1"], "--adam_beta1 1.0"),
    ):
        with refusal(*names.split()):
            resolve_settings(read(["--task", "location", "--use_cpu", *argv]))


def test_a_typo_is_answered_with_what_was_meant():
    with refusal("learning_rte", "learning_rate"):
        read(["--task", "location", "--learning_rte", "1"])
    with refusal("location_ful", "location_full"):
        read(["--config", "location_ful"])


def test_the_training_flags_are_those_of_the_installed_transformers():
    import dataclasses

    from transformers import TrainingArguments

    real = {item.name for item in dataclasses.fields(TrainingArguments) if item.init}
    assert training_defaults().keys() == real


def test_the_tasks_own_config_is_used_when_none_is_given():
    assert "configs/location.yaml" in read(["--task", "location"]).layers


@pytest.mark.parametrize(
    ("flags", "eval_steps", "save_steps"),
    [
        ([], 25, 25),  # 100 rows in batches of 4: 25 steps an epoch
        (["--evals_per_epoch", "4"], 6, 6),
        (["--evals_per_epoch", "100"], 1, 1),
        (["--evals_per_epoch", "0.2"], 125, 125),
        (["--evals_per_epoch", "5", "--saves_per_epoch", "1"], 5, 25),
        (["--evals_per_epoch", "5", "--saves_per_epoch", "2"], 5, 15),  # 12.5 steps, up to the next evaluation
        (["--eval_steps", "7"], 7, 7),
        (["--eval_steps", "7", "--save_steps", "21"], 7, 21),
        (["--evals_per_epoch", "1", "--gradient_accumulation_steps", "5"], 5, 5),
    ],
)
def test_evaluations_and_checkpoints_come_as_often_as_asked(config, tmp_path, flags, eval_steps, save_steps):
    from trainers.runs.cadence import settle

    file = config("task: location\nper_device_train_batch_size: 4\n")
    asked = resolve_settings(read([*file, "--use_cpu", *flags]))
    before = asked.training.to_dict()
    data = SimpleNamespace(splits={"train": range(100)}, evaluated=["memorisation"])
    settled = settle(asked, data, tmp_path, checkpoint=None).training
    assert (settled.eval_steps, settled.save_steps) == (eval_steps, save_steps)
    assert asked.training.to_dict() == before  # what was asked for stays as it is


def settled_steps(argv, n_rows, folder, checkpoint=None):
    """Steps between evaluations, and those of the run."""
    from trainers.runs.cadence import settle, total_steps

    data = SimpleNamespace(splits={"train": range(n_rows)}, evaluated=["memorisation"])
    training = settle(resolve_settings(read([*argv, "--use_cpu"])), data, folder, checkpoint).training
    return training.eval_steps, total_steps(training, n_rows)


@pytest.mark.parametrize("task", registry.names())
@pytest.mark.parametrize("n_rows", [1, 40, 300, 5_075, 100_000])
def test_a_default_asks_for_no_more_evaluations_than_a_run_has_room_for(task, n_rows, tmp_path):
    eval_steps, steps = settled_steps(["--task", task], n_rows, tmp_path)
    assert steps / eval_steps <= 20 or eval_steps >= 100


def test_a_cadence_that_is_typed_is_followed_and_a_resumed_run_keeps_its_own(tmp_path, config):
    assert settled_steps(["--task", "location"], 5_075, tmp_path) == (100, 3_000)  # the documented run
    assert settled_steps(["--task", "location", "--evals_per_epoch", "0.2"], 40, tmp_path) == (5, 150)
    assert settled_steps(config("task: location\nevals_per_epoch: 5\nmax_steps: 30\n"), 40, tmp_path) == (1, 30)
    (tmp_path / "trainer_state.json").write_text('{"global_step": 4, "log_history": [], "eval_steps": 7}')
    assert settled_steps(["--task", "location"], 40, tmp_path, tmp_path)[0] == 7
    assert settled_steps(["--task", "location", "--evals_per_epoch", "0.1"], 40, tmp_path, tmp_path)[0] == 10


def test_the_last_of_a_flag_and_its_opposite_counts():
    assert flags_of(["--no_muon", "--muon"]) == {"muon": []}
    assert flags_of(["--muon", "--no_muon"]) == {"muon": ["false"]}
    assert flags_of(["--seed", "1", "--no_muon", "--seed=2"]) == {"muon": ["false"], "seed": ["2"]}
