"""Collect the layers of a command line by name: code default < task default < YAML < launcher < command line.

Names are checked here, without importing transformers, so that a typo is answered at once.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common.environment import CODE
from trainers.contract import Task
from trainers.errors import UserError, suggest
from trainers.folders.dataset_folder import read_metadata
from trainers.settings import surroundings
from trainers.settings.layers import (
    Layer,
    as_strings,
    config_path,
    display_path,
    flags_of,
    merge_layers,
    read_yaml,
)
from trainers.settings.own_settings import given_settings, kept_settings, resumed_run, run_of_config
from trainers.settings.run_options import HOW_TO_BUILD, REFUSED, STACK_DEFAULTS, TYPED, RunOptions
from trainers.settings.training_fields import training_defaults

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and bytes that are no UTF-8: in no path, in no MLflow run


@dataclass(frozen=True)
class Request:
    """The layers of one command line, by name only: nothing is typed yet."""

    task: Task
    layers: Mapping[str, Layer]
    """Source ("stack", "task", "configs/x.yaml", "command line") -> flags, in rising precedence; of a resumed run,
    its own settings instead of the first ones."""

    @functools.cached_property
    def sources(self) -> dict[str, tuple[str, str]]:
        """Flag name -> (value, the layer that won)."""
        return {name: (" ".join(flag["value"]), flag["from"]) for name, flag in self.as_given().items()}

    def as_given(self) -> dict[str, dict[str, Any]]:
        """Return flag name -> its values as strings and the layer they are from, for `settings.json`."""
        kept = merge_layers(self.layers)
        return {
            name: {"value": values, "from": source}
            for source, layer in self.layers.items()
            for name, values in layer.items()
            if name in kept
        }


def read_request(argv: Sequence[str], find_task: Callable[[str], Task], task_only: bool = False) -> Request:
    """Check names and collect the layers, without importing anything heavy.

    Args:
        argv: The command line without the program's name.
        find_task: Returns the task of a name (`trainers.registry.load`).
        task_only: Whether only the dataset's flags are allowed (to build a dataset without a run).

    Raises:
        UserError: An unknown task, config or flag (with suggestions), or a flag without a value.
    """
    command_line = flags_of(argv)
    config_name, resumed = command_line.get("config"), resumed_run(command_line)
    path = config_path(config_name[0]) if config_name else None
    config = _read_config(path) if path else {}
    own = {display_path(resumed.path): kept_settings(resumed.settings)} if resumed else {}
    name = next((layer["task"][0] for layer in (command_line, config, *own.values()) if layer.get("task")), "")
    task = find_task(name)
    if config.get("task") not in (None, [], [name], [task.base]):
        raise UserError(f"--task is {name}, but {path} is a config for {' '.join(config['task'])}; use one of the two")
    if not own:
        own = {"task": as_strings(task.defaults, f"TASK.defaults of {name}")}
        default_configs = [CODE / "configs" / f"{stem}.yaml" for stem in (name, task.base)]
        if path is None and (existing := [file for file in default_configs if file.is_file()]):
            path, config = existing[0], read_yaml(existing[0])
    launcher = {surroundings.LAUNCHER: {} if task_only else surroundings.launcher_layer()}
    layers = {
        "stack": as_strings(STACK_DEFAULTS, "stack"),
        **(launcher if resumed else {}),  # what the run had from its launcher is among its own settings
        **own,
        display_path(path): config,
        **({} if resumed else launcher),
        "command line": command_line,
    }
    known = flag_names(task)
    for source, layer in layers.items():
        check_names(layer, known, source)
    if task_only:
        check_names(command_line, {"": ["task", "config", *HOW_TO_BUILD, *known["dataset"]]}, "command line")
    if not resumed:  # which needs neither its base nor, if that was moved, the dataset it was given
        _check_folders(task, {**config, **command_line})
    return Request(task, {source: layer for source, layer in layers.items() if layer})


def _check_folders(task: Task, given: Layer) -> None:
    """Refuse folders that are not there, before what would read them is imported, which takes seconds."""
    if folder := " ".join(given.get("dataset", [])):
        read_metadata(Path(os.path.expanduser(folder)), task.name)
    start = " ".join(given.get("init_from", []))
    if start and not os.path.isdir(os.path.expanduser(start)):
        raise UserError(f"--init_from {start} is no folder; give the folder of a run, or one of its checkpoints")


def _read_config(path: Path) -> Layer:
    run = run_of_config(path)
    return given_settings(run.settings) if run else read_yaml(path)


def flag_names(task: Task | None) -> dict[str, list[str]]:
    """Return group -> flag names, without importing transformers."""
    types = {"run": RunOptions, **({"dataset": task.options, "model": task.model_options} if task else {})}
    groups = {group: [item.name for item in dataclasses.fields(kind)] for group, kind in types.items()}
    return {**groups, "training": [name for name in training_defaults() if name not in REFUSED]}


def check_names(layer: Layer, known: Mapping[str, list[str]], source: str) -> None:
    """Refuse flags that are not known, are refused here, or hold a character that no path can."""
    names = [name for group in known.values() for name in group]
    for name, values in layer.items():
        if name in REFUSED and source != "stack":
            raise UserError(f"--{name} ({source}) cannot be used here: {REFUSED[name]}; remove it")
        if name not in names and name not in REFUSED:
            meant = TYPED.get(name, "")
            hint = f" Did you mean {meant}?" if meant in names else suggest(name, names) or " `--help` lists settings."
            raise UserError(f"unknown setting {name!r} ({source}).{hint}")
        if _UNWRITABLE.search("".join(values)):
            raise UserError(f"--{name} is {' '.join(values)!r} ({source}), with a character that no path can hold")
