"""The text of `--help`: every flag a task has, without importing anything heavy."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar

from trainers.contract import Task
from trainers.settings.layers import flags_of
from trainers.settings.resolve import flag_names, read_command
from trainers.settings.run_options import RunOptions

Options = TypeVar("Options")

_USAGE = """\
Train one task, tracked by MLflow.

  accelerate launch trainers/run.py --task location
  accelerate launch trainers/run.py --task location --learning_rate 1e-3 --num_train_epochs 20
  accelerate launch trainers/run.py --config location_full --dry_run

A value is looked up in this order, the last one wins: the stack's defaults, the task's, the config's (--config, else
configs/<task>.yaml), the command line. `--dry_run` shows the outcome and where each value came from.
"""


def read_or_help(argv: Sequence[str], doc: str | None, options: type[Options]) -> Options | None:
    """The options of a command of its own from its command line; None when that asked for help, which is printed."""
    if {"-h", "--help"} & set(argv):
        print(f"{doc}\n{table(options)}")
        return None
    return read_command(flags_of(argv), options)[0]


def text(task: Task | None, task_names: list[str]) -> str:
    """The help text; with a task, its dataset and model flags too."""
    parts = [_USAGE, f"Tasks: {', '.join(task_names)}", "\nRun:", table(RunOptions)]
    if task is None:
        parts.append("\nA task has flags of its own; `--task NAME --help` shows them.")
    else:
        parts += [f"\nDataset of {task.name} ({task.summary}):", table(task.options)]
        parts += ["\nModel:", table(task.model_options)]
    names = flag_names(None)["training"]
    parts.append(f"\nTraining: these fields of transformers.TrainingArguments ({len(names)}), described in its docs:")
    parts.append(textwrap.fill(", ".join(names), 110, initial_indent="  ", subsequent_indent="  "))
    return "\n".join(parts)


def table(options: type[Any]) -> str:
    """One line for each field of an options class: flag, help text, default."""
    lines = []
    for item in dataclasses.fields(options):
        default = "" if item.default in (None, "", dataclasses.MISSING) else f" [{item.default}]"
        help_text = item.metadata.get("help", "") + default
        lines.append(textwrap.fill(help_text, 110, initial_indent=f"  --{item.name:<26}", subsequent_indent=" " * 30))
    return "\n".join(lines)
