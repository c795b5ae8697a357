"""Write the text of `--help`: every flag with its default, without importing anything heavy."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from trainers import registry
from trainers.contract import Task
from trainers.settings.layers import argv_of, flags_of
from trainers.settings.request import Request, flag_names, read_request
from trainers.settings.run_options import STACK_DEFAULTS, USUAL_TRAINING, RunOptions
from trainers.settings.training_fields import training_defaults

Values = Mapping[str, tuple[str, str]]
"""Flag -> the value that a layer gives it, and the layer."""

_TRAIN = """\
Train one task, tracked by MLflow.

  accelerate launch trainers/run.py --task location
  accelerate launch trainers/run.py --task location --seed 1
  accelerate launch trainers/run.py --config location_full --dry_run

A value is looked up in this order, the last one wins: the default, this stack's default, the task's, the config's
(--config, else configs/<task>.yaml), the command line. `--dry_run` shows the outcome and where each value came from.
"""
_BUILD = """\
Build a task's dataset without training; it is used by every run that asks for the same.

  make dataset TASK=location
  world-models dataset --task location --n_train 4000 --n_val 500

It is built anew when the builder's code, a library or an input file has changed, and with --rebuild in any case.
One of more than a million rows is built by several processes with --num_proc N; they change no row.
"""


def train_help(argv: Sequence[str]) -> str:
    """Return the help of training; with `--task` or `--config`, also that task's flags and the values that it sets."""
    request = _request_of(argv)
    values = request.sources if request else {name: (str(v), "stack") for name, v in STACK_DEFAULTS.items()}
    parts = ["\nA task has flags of its own; `--task NAME --help` shows them."]
    if request is not None:
        parts = [_dataset_text(request.task, values), "\nModel:", options_text(request.task.model_options, values)]
    parts = [_TRAIN, _tasks(), "\nRun:", options_text(RunOptions, values), *parts]
    return "\n".join([*parts, *_training_texts(values, "--help_all" in argv)])


def dataset_help(argv: Sequence[str]) -> str:
    """Return the help of building a dataset, with the task's flags if one is named."""
    request = _request_of(argv)
    shown = _dataset_text(request.task, request.sources) if request else "`--task NAME --help` shows a task's flags."
    return "\n".join([_BUILD, _tasks(), shown])


def options_text(options: type[Any], values: Values = MappingProxyType({})) -> str:
    """Return a line for each field of an options class: flag, value, help text, and the layer of the value."""
    fields, types = dataclasses.fields(options), get_type_hints(options)
    texts = {f.name: "; ".join([f.metadata.get("help", ""), *_choices(types[f.name])]) for f in fields}
    return "\n".join(_line(f.name, texts[f.name], f.default, values) for f in fields)


def _choices(kind: Any) -> list[str]:
    """Return the values of a flag that takes only some, as one text."""
    return ["|".join(get_args(kind))] if get_origin(kind) is Literal else []


def _line(name: str, text: str, default: Any, values: Values) -> str:
    value, source = values.get(name, ("" if default in (None, dataclasses.MISSING) else str(default), "default"))
    shown = f"{text} ({source})" if value else text
    flag = f"  --{f'{name} {value}':<32}  "
    # Without a text, textwrap would leave out the flag too.
    return textwrap.fill(shown, 118, initial_indent=flag, subsequent_indent=" " * 38) if shown else flag.rstrip()


def _dataset_text(task: Task, values: Values) -> str:
    return f"\nDataset of {task.name} ({task.summary}):\n{options_text(task.options, values)}"


def _training_texts(values: Values, with_all: bool) -> list[str]:
    """Return the usual settings of transformers, and on demand all others."""
    defaults = training_defaults()
    texts = ["\nTraining:", *(_line(name, text, defaults[name], values) for name, text in USUAL_TRAINING.items())]
    others = [name for name in flag_names(None)["training"] if name not in USUAL_TRAINING]
    if not with_all:
        return [*texts, f"\n`--help_all` shows the other {len(others)} settings of transformers.TrainingArguments."]
    texts.append("\nThe other settings of transformers.TrainingArguments, described in its documentation:")
    return [*texts, *(_line(name, "", defaults[name], values) for name in others)]


def _tasks() -> str:
    return f"Tasks: {', '.join(registry.names())}"


def _request_of(argv: Sequence[str]) -> Request | None:
    """Return what the task and the config on the command line ask for, if one is named."""
    named = {name: values for name, values in flags_of(argv).items() if name in ("task", "config")}
    return read_request(argv_of(named), registry.load) if named else None
