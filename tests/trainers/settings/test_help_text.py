"""The help of a task: the values that a run would have, and where each comes from."""

import dataclasses

import pytest

from trainers import registry
from trainers.settings.help_text import dataset_help, train_help
from trainers.settings.request import flag_names
from trainers.settings.run_options import TYPED, USUAL_TRAINING, RunOptions
from trainers.settings.training_fields import read_defaults, training_defaults


def line_of(text: str, flag: str) -> str:
    """Value, help text and source of one flag, as one line."""
    entries = "\n".join(text.splitlines()).split("\n  --")
    (entry,) = [entry for entry in entries if entry.split()[0] == flag]
    return " ".join(entry.partition("\n\n")[0].split())


@pytest.mark.parametrize(
    "argv, flag, value, source",
    [
        ("--task location", "num_hidden_layers", "2", "configs/location.yaml"),
        ("--task location", "learning_rate", "5e-3", "configs/location.yaml"),
        ("--task location", "evals_per_epoch", "0.2", "configs/location.yaml"),
        ("--task location", "tie_word_embeddings", "False", "default"),
        ("--config distance_small", "n_cities", "900", "configs/distance_small.yaml"),
        ("--task arc", "max_side", "10", "configs/arc.yaml"),
    ],
)
def test_a_flag_is_shown_with_the_value_it_would_have_and_its_source(argv, flag, value, source):
    line = line_of(train_help(argv.split()), flag)
    assert line.split()[1] == value and f"({source})" in line


def test_help_all_shows_every_training_setting_and_what_a_layer_sets():
    text = train_help(["--task", "arc", "--help_all"])
    assert [name for name in flag_names(None)["training"] if not line_of(text, name)] == []
    assert line_of(text, "per_device_eval_batch_size").split()[1:] == ["64", "(task)"]
    assert line_of(text, "report_to").split()[1:] == ["none", "(stack)"]
    assert line_of(text, "adam_epsilon").split()[1:] == ["1e-08", "(default)"]
    short = train_help(["--task", "arc"])
    assert "adam_epsilon" not in short and "--help_all" in short
    assert {line_of(short, name) for name in USUAL_TRAINING}


def test_help_without_a_task_shows_what_all_have():
    text = train_help([])
    assert all(f"--{item.name}" in text for item in dataclasses.fields(RunOptions)) and "--n_cities" not in text


def test_the_help_of_a_dataset_has_the_flags_of_the_builder_alone():
    text = dataset_help(["--task", "location"])
    assert "--n_cities" in text and "--learning_rate" not in text and "--hidden_size" not in text


@pytest.mark.parametrize("task", registry.names())
def test_every_task_has_a_help(task):
    assert f"--{dataclasses.fields(registry.load(task).options)[0].name}" in train_help(["--task", task])


def test_the_defaults_are_those_of_the_installed_transformers():
    from transformers import TrainingArguments

    real = {item.name: item.default for item in dataclasses.fields(TrainingArguments)}
    read = training_defaults()
    assert len(USUAL_TRAINING) == 10 and all(read[name] == real[name] for name in USUAL_TRAINING)
    assert {
        name for name, default in real.items() if default is not dataclasses.MISSING and read[name] != default
    } == set()


def test_words_that_people_type_are_no_settings_and_mean_settings():
    known = {*training_defaults(), *(item.name for item in dataclasses.fields(RunOptions)), "num_hidden_layers"}
    assert not TYPED.keys() & known and set(TYPED.values()) <= known


@pytest.mark.parametrize(
    "source",
    [
        "",
        "class TrainingArguments(Base):\n    seed: int = field(default=1)",
        "class TrainingArguments:\n    seed: int = 1",
    ],
)
def test_a_source_of_another_form_is_not_guessed_at(source):
    with pytest.raises(ValueError):
        read_defaults(source)


def test_where_the_source_cannot_be_read_transformers_is_imported(monkeypatch):
    expected = training_defaults()

    def another_form(source):
        raise ValueError("another form")

    monkeypatch.setattr("trainers.settings.training_fields.read_defaults", another_form)
    assert training_defaults.__wrapped__() == expected  # pyright: ignore[reportAttributeAccessIssue]
