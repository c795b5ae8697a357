"""Everything a person can mistype or break ends with one sentence, exit code 2, and every file as it was.

A case is a name, an entry point, a fragment of the sentence, and what to type; a case that needs something on disk
first prepares it below `tmp_path`.
"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainers import build, run

ROOT = Path(__file__).resolve().parent.parent
CITY = "name,latitude,longitude,country,population\nA,1,2,DE,5\nB,3,4,DE,6\nC,5,6,FR,7\n"


@dataclass
class Desk:
    """What a case may use: an empty folder, the prefix, and copies of things that work."""

    tmp_path: Path
    prefix: Path
    tiny: list[str]
    request: pytest.FixtureRequest
    monkeypatch: pytest.MonkeyPatch

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def config(self, content: str | bytes) -> list[str]:
        return ["--config", str(self.file("my.yaml", content))]

    def csv(self, content: str | bytes) -> list[str]:
        return ["--task", "location", "--cities_csv", str(self.file("my.csv", content))]

    def dataset(self) -> Path:
        """A copy of a dataset that works."""
        return shutil.copytree(self.request.getfixturevalue("good_dataset"), self.tmp_path / "data")

    def run(self) -> Path:
        """A copy of a finished run, inside the prefix."""
        return shutil.copytree(self.request.getfixturevalue("finished_run"), self.prefix / "done")


Prepare = Callable[[Desk], list[str]]
CASES: list[tuple[str, str, Callable, Prepare]] = []


def typed(name: str, command_line: str, fragment: str, main: Callable = run.main) -> None:
    CASES.append((name, fragment, main, lambda desk: command_line.split()))


def prepared(fragment: str, main: Callable = run.main) -> Callable[[Prepare], Prepare]:
    def register(prepare: Prepare) -> Prepare:
        CASES.append((prepare.__name__, fragment, main, prepare))
        return prepare

    return register


# Names

typed("unknown_task", "--task locaton", "no task 'locaton'; the tasks are: location")
typed("unknown_task_suggestion", "--task locaton", "Did you mean location?")
typed("no_task", "", "no task given; use --task with one of: ")
typed("task_without_a_name", "--task", "no task given")
typed("task_package_missing", "--task nowhere.echo", "cannot be found; is it on PYTHONPATH?")
typed("task_package_without_a_task", "--task json.decoder", "has no TASK")
typed("task_as_a_path", "--task ./tasks/location", "no task './tasks/location'")
typed("help_for_an_unknown_task", "--task locaton --help", "Did you mean location?")
typed("unknown_setting", "--task location --learning_rat 1", "unknown setting 'learning_rat'")
typed("unknown_setting_with_hyphens", "--task location --learning-rat 1", "Did you mean learning_rate")
typed("unknown_setting_without_likeness", "--task location --zzz 1", "`--help` lists every setting")
typed("setting_of_the_run_for_the_builder", "--task location --learning_rate 1", "unknown setting", build.main)
typed("stray_word_first", "location --n_cities 4", "'location' stands alone")
typed("one_hyphen", "-task location", "'-task' stands alone")
typed("stray_word_last", "--task location --n_cities 40 40", "'40'")
typed("two_tasks", "--task location distance", "'distance'")
typed("a_switch_with_two_values", "--task location --no_muon yes no", "no_muon")
typed("refused_do_train", "--task location --do_train", "--do_train has no effect here")
typed("refused_push_to_hub", "--task location --push_to_hub", "upload the finished folder")

# Files of settings

typed("config_missing", "--config locaton", "Did you mean location")


@prepared("unknown setting 'learning_rat' (")
def config_with_an_unknown_key(desk: Desk) -> list[str]:
    return desk.config("task: location\nlearning_rat: 1\n")


@prepared("my.yaml). Did you mean learning_rate")
def config_with_an_unknown_key_is_named(desk: Desk) -> list[str]:
    return desk.config("task: location\nlearning-rat: 1\n")


@prepared("has no effect here")
def config_with_a_refused_key(desk: Desk) -> list[str]:
    return desk.config("task: location\ndo_train: true\n")


@prepared("my.yaml holds list, expected lines of the form")
def config_that_is_a_list(desk: Desk) -> list[str]:
    return desk.config("- task\n- location\n")


@prepared("my.yaml holds NoneType, expected lines of the form")
def config_that_is_empty(desk: Desk) -> list[str]:
    return desk.config("")


@prepared("my.yaml is not readable YAML")
def config_that_is_no_yaml(desk: Desk) -> list[str]:
    return desk.config("task: location\nlearning_rate: [1\n")


@prepared("my.yaml is not readable YAML")
def config_with_an_unhashable_key(desk: Desk) -> list[str]:
    return desk.config("task: location\n? [a, b]\n: 1\n")


@prepared("my.yaml is not readable YAML")
def config_with_an_unhashable_nested_key(desk: Desk) -> list[str]:
    return desk.config("task: location\n? {a: 1}\n: 1\n")


@prepared("the key 'seed' stands twice")
def config_with_a_key_twice(desk: Desk) -> list[str]:
    return desk.config("task: location\nseed: 1\nseed: 2\n")


@prepared("'seed' has no value")
def config_with_a_key_without_a_value(desk: Desk) -> list[str]:
    return desk.config("task: location\nseed:\n")


@prepared("no task given")
def config_without_a_task(desk: Desk) -> list[str]:
    return desk.config("seed: 1\n")


@prepared("is a config for location; use one of the two")
def config_for_another_task(desk: Desk) -> list[str]:
    return [*desk.config("task: location\n"), "--task", "distance"]


@prepared("no config")
def config_that_is_a_folder(desk: Desk) -> list[str]:
    return ["--config", str(desk.tmp_path)]


@prepared("my.yaml is not readable YAML")
def config_that_is_no_utf8(desk: Desk) -> list[str]:
    return desk.config("task: location\nrun_name: Zürich\n".encode("latin-1"))


@prepared("(from ")
def config_with_a_wrong_type_is_named(desk: Desk) -> list[str]:
    return desk.config("task: location\nseed: seven\n")


@prepared("--evals_per_epoch and --eval_steps are both given")
def config_that_contradicts_itself(desk: Desk) -> list[str]:
    return desk.config("task: location\neval_steps: 3\nevals_per_epoch: 1\n")


# Values

for flag, value, fragment in (
    ("learning_rate", "abc", "--learning_rate: invalid float value: 'abc'"),
    ("learning_rate", "", "--learning_rate"),
    ("learning_rate", "nan", "it must be a finite number"),
    ("learning_rate", "inf", "it must be a finite number"),
    ("learning_rate", "-1", "it must be at least 0"),
    ("learning_rate", "0", "it must be greater than 0"),
    ("max_steps", "1.5", "--max_steps: invalid int value: '1.5'"),
    ("max_steps", "0", "it must be at least 1"),
    ("max_steps", "-7", "it must be at least 1"),
    ("num_train_epochs", "0", "it must be greater than 0"),
    ("per_device_train_batch_size", "-8", "it must be at least 1"),
    ("warmup_steps", "-1", "warmup_steps"),
    ("seed", "4294967296", "it must be at most"),
    ("use_cpu", "maybe", "got maybe but expected one of yes/no"),
    ("no_hidden_size", "", "hidden_size"),
    ("lr_scheduler_type", "cosin", "invalid choice: 'cosin'"),
    ("optim", "adam", "invalid choice: 'adam'"),
    ("eval_steps", "2.5", "must be an integer"),
    ("eval_strategy", "epoch", "save and eval strategy to match"),
    ("lr_scheduler_kwargs", "{a", "--lr_scheduler_kwargs"),
    ("lr_scheduler_kwargs", "half", "--lr_scheduler_kwargs"),
    ("accelerator_config", "missing.json", "missing.json"),
    ("accelerator_config", '{"speed":1}', "unexpected keyword argument 'speed'"),
    ("deepspeed", "missing.json", "deepspeed"),
    ("threads", "0", "it must be at least 1"),
    ("early_stopping_patience", "0", "it must be at least 1"),
    ("hidden_size", "-16", "it must be at least 1"),
    ("init_scale", "nan", "it must be a finite number"),
    ("n_val", "-1", "it must be at least 1"),
    ("n_cities", "0", "it must be at least 1"),
    ("world_seed", "-1", "it must be at least 0"),
    ("min_population", "many", "--min_population: invalid int value: 'many'"),
):
    typed(f"{flag}_{value or 'empty'}", f"--task location --{flag} {value}", fragment)
typed("value_missing", "--task location --learning_rate", "expected one argument")
typed("evals_per_epoch_and_eval_steps", "--task location --evals_per_epoch 2 --eval_steps 3", "use one of the two")
typed("builder_value_of_the_wrong_type", "--task location --n_train few", "invalid int value: 'few'", build.main)
typed("builder_value_out_of_range", "--task location --n_val -1", "it must be at least 1", build.main)
