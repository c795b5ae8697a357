"""From the command line to typed settings: code default < task default < YAML < command line.

Every layer becomes `--name value` strings for one `HfArgumentParser`, so a file is checked as strictly as the command
line. Names are checked first, without importing transformers, so that a typo is answered at once.
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from trainers.common.environment import ROOT, asks_for_fsdp
from trainers.contract import Task
from trainers.errors import UserError, suggest
from trainers.options import OWN_METADATA, check_ranges
from trainers.settings.layers import (
    Layer,
    as_strings,
    as_tokens,
    config_path,
    display_path,
    flags_of,
    merge_layers,
    read_yaml,
)
from trainers.settings.run_options import REFUSED, STACK_DEFAULTS, TRAINING_RANGES, TYPED, RunOptions
from trainers.settings.training_fields import training_defaults

if TYPE_CHECKING:
    from transformers import HfArgumentParser, TrainingArguments


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and bytes that are no UTF-8: in no path, in no record
_TOKENS_SEEN = {"all": "all", "true": "all", "non_padding": "non_padding", "no": "no", "false": "no"}
"""Values of --include_num_input_tokens_seen, of which HfArgumentParser would take true and false only."""
_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


@dataclass(frozen=True)
class Request:
    """The layers of one command line, by name only: nothing is typed yet."""

    task: Task
    layers: Mapping[str, Layer]
    """Source ("stack", "task", "configs/x.yaml", "command line") -> flags, in rising precedence."""

    @functools.cached_property
    def sources(self) -> dict[str, tuple[str, str]]:
        """Flag name -> (value, the layer that won)."""
        kept = merge_layers(self.layers)
        return {
            name: (" ".join(values), source)
            for source, layer in self.layers.items()
            for name, values in layer.items()
            if name in kept
        }


@dataclass(frozen=True)
class Settings:
    """Everything a run is asked for, typed and range-checked."""

    request: Request
    run: RunOptions
    dataset: Any
    model: Any
    training: "TrainingArguments"

    @property
    def task(self) -> Task:
        """The task that is trained."""
        return self.request.task

    def given(self, name: str) -> str | None:
        """The value of a flag as it was given in any layer, or None."""
        found = self.request.sources.get(name)
        return found[0] if found else None


def read_request(argv: Sequence[str], find_task: Callable[[str], Task], task_only: bool = False) -> Request:
    """Check names and collect the layers; imports nothing heavy.

    Arguments:
        argv: the command line without the program's name.
        find_task: gives the task of a name (`trainers.registry.load`).
        task_only: only the dataset's flags are allowed (for building a dataset without a run).

    Raises:
        UserError: unknown task, config or flag (with suggestions), or a flag without a value.
    """
    command_line = flags_of(argv)
    given, config_name = command_line.get("task"), command_line.get("config")
    path = config_path(config_name[0]) if config_name else None
    config = read_yaml(path) if path else {}
    name = (given or config.get("task") or [""])[0]
    task = find_task(name)
    if config.get("task") not in (None, [], [name], [task.base]):
        raise UserError(f"--task is {name}, but {path} is a config for {' '.join(config['task'])}; use one of the two")
    default_configs = [ROOT / "configs" / f"{own}.yaml" for own in (name, task.base)]
    if path is None and (existing := [file for file in default_configs if file.is_file()]):
        path, config = existing[0], read_yaml(existing[0])
    layers = {
        "stack": as_strings(STACK_DEFAULTS, "stack"),
        "task": as_strings(task.defaults, f"TASK.defaults of {name}"),
        display_path(path): config,
        "command line": command_line,
    }
    known = flag_names(task)
    for source, layer in layers.items():
        _check_names(layer, known, source)
    if task_only:
        allowed = {item.name for item in dataclasses.fields(task.options)} | {"task", "config"}
        _check_names(command_line, {"dataset builder": sorted(allowed)}, "command line")
    return Request(task, {source: layer for source, layer in layers.items() if layer})


def resolve_settings(request: Request) -> Settings:
    """Type and check every value.

    Raises:
        UserError: a value of the wrong type, out of range, or in conflict with another.
    """
    from transformers import TrainingArguments

    task = request.task
    flags = merge_layers(request.layers)
    if "evals_per_epoch" in flags:  # `runs.cadence.settle` counts the steps; until then transformers wants some number
        flags = {"save_steps": ["1"], **flags, "eval_steps": ["1"]}
    _check_json(flags)
    tokens_seen = flags.pop("include_num_input_tokens_seen", ["no"])
    try:
        parsed = _parse(
            (RunOptions, task.options, task.model_options, TrainingArguments),
            flags,
            lambda name: _origin(name, request),
        )
    # what TrainingArguments finds in its own fields
    except (ValueError, TypeError, ArithmeticError, ImportError, OSError) as error:
        raise UserError(f"transformers refuses these training settings: {error}") from error
    for options in parsed[:3]:
        check_ranges(options)
    check_ranges(parsed[3], TRAINING_RANGES)
    parsed[3].include_num_input_tokens_seen = _tokens_seen(" ".join(tokens_seen) or "true")
    _check_training(parsed[3])
    if parsed[0].muon and asks_for_fsdp():
        raise UserError("--muon needs whole matrices, which FSDP cuts up; add --no_muon, or launch without FSDP")
    if parsed[0].min_learning_rate and not parsed[0].restart_epochs:
        raise UserError("--min_learning_rate belongs to --restart_epochs; give that too, or --lr_scheduler_kwargs")
    return Settings(request, *parsed)


def dataset_options(request: Request) -> Any:
    """Type and check only the dataset builder's options."""
    names = {item.name for item in dataclasses.fields(request.task.options)}
    flags = {n: v for layer in request.layers.values() for n, v in layer.items() if n in names}
    (options,) = _parse((request.task.options,), flags, lambda name: _origin(name, request))
    check_ranges(options)
    return options


def read_command(argv_flags: Layer, *types: Any) -> tuple[Any, ...]:
    """Instances of the options classes `types` from a command line of their own (of another command than run.py).

    Raises:
        UserError: an unknown flag (with suggestions), a wrong type, or a number out of its range.
    """
    _check_names(argv_flags, {"": [item.name for kind in types for item in dataclasses.fields(kind)]}, "command line")
    if not argv_flags:
        return tuple(kind() for kind in types)  # nothing to parse: transformers' parser need not be imported
    parsed = _parse(types, argv_flags, lambda name: "")
    for options in parsed:
        check_ranges(options)
    return parsed


def _parse(types: tuple[Any, ...], flags: Layer, origin: Callable[[str], str]) -> tuple[Any, ...]:
    """Instances of the dataclasses `types` from the flags; a wrong type names the layer it came from by `origin`."""
    parser = parser_of(types, origin)
    *parsed, rest = parser.parse_args_into_dataclasses(argv_of(flags), True, look_for_args_file=False)
    if rest:
        raise UserError(f"{' '.join(rest)!r} is left over; a setting takes one value, and --no_name takes none")
    return tuple(parsed)


def parser_of(types: tuple[Any, ...], origin: Callable[[str], str]) -> "HfArgumentParser":
    """A parser with a flag for every field of the dataclasses `types`."""
    from transformers import HfArgumentParser

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            names, _, complaint = message.removeprefix("argument --").partition(":")
            name = names.partition("/")[0]  # without its second spelling, with hyphens
            raise UserError(f"--{name}:{complaint}{origin(name)}")

        def add_argument(self, *names: Any, **kwargs: Any) -> Any:
            """As argparse does; `HfArgumentParser` hands on all of a field's metadata."""
            return super().add_argument(*names, **{n: v for n, v in kwargs.items() if n not in OWN_METADATA})

    return Parser(types, allow_abbrev=False)  # pyright: ignore[reportArgumentType]


def argv_of(flags: Layer) -> list[str]:
    """Flags as a command line for argparse."""
    return [token for name, values in flags.items() for token in as_tokens(name, values)]


def flag_names(task: Task | None) -> dict[str, list[str]]:
    """Group -> flag names, without importing transformers."""
    groups = {"run": [item.name for item in dataclasses.fields(RunOptions)]}
    if task is not None:
        groups["dataset"] = [item.name for item in dataclasses.fields(task.options)]
        groups["model"] = [item.name for item in dataclasses.fields(task.model_options)]
    groups["training"] = [name for name in training_defaults() if name not in REFUSED]
    return groups


def _check_names(layer: Layer, known: Mapping[str, list[str]], source: str) -> None:
    names = [name for group in known.values() for name in group]
    for name, values in layer.items():
        if name in REFUSED and source != "stack":
            raise UserError(f"--{name} cannot be used here: {REFUSED[name]}; remove it")
        if name not in names and name not in REFUSED:
            meant = TYPED.get(name, "")
            hint = f" Did you mean {meant}?" if meant in names else suggest(name, names) or " `--help` lists settings."
            raise UserError(f"unknown setting {name!r} ({source}).{hint}")
        if _UNWRITABLE.search("".join(values)):
            raise UserError(f"--{name} is {' '.join(values)!r} ({source}), with a character that no path can hold")


def _check_json(flags: Layer) -> None:
    """Settings that hold a mapping are JSON; transformers takes other text as it is and fails when it is used."""
    for name, values in flags.items():
        text = " ".join(values)
        if not name.endswith("_kwargs") and not text.startswith("{"):
            continue
        try:
            is_mapping = isinstance(json.loads(text), dict)
        except json.JSONDecodeError:
            is_mapping = False
        if not is_mapping:
            raise UserError(f"--{name} is {text!r}, expected JSON such as '{{\"power\": 2}}'")


def _tokens_seen(value: str) -> str:
    if value.lower() not in _TOKENS_SEEN:
        raise UserError(f"--include_num_input_tokens_seen is {value}; choose all, non_padding or no")
    return _TOKENS_SEEN[value.lower()]


def _check_training(training: "TrainingArguments") -> None:
    from accelerate.utils import DynamoBackend

    backends = [backend.value.lower() for backend in DynamoBackend]
    if training.torch_compile_backend not in (None, *backends):
        raise UserError(f"--torch_compile_backend is {training.torch_compile_backend}; choose {', '.join(backends)}")
    if training.torch_compile_mode not in (None, *_COMPILE_MODES):
        raise UserError(f"--torch_compile_mode is {training.torch_compile_mode}; choose {', '.join(_COMPILE_MODES)}")
    if training.learning_rate == 0:
        raise UserError("--learning_rate is 0; nothing would be learnt: it must be greater than 0")
    if training.max_steps == 0 or training.max_steps < -1:
        raise UserError(f"--max_steps is {training.max_steps}; it must be at least 1 (or -1 for --num_train_epochs)")
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and training.world_size == 1:
        raise UserError(f"{started} processes were started, but there is no GPU for them; add --use_cpu, or start one")


def _origin(name: str, request: Request) -> str:
    """` (from configs/x.yaml)` for a flag."""
    found = [source for flag, (_, source) in request.sources.items() if flag == name]
    return f" (from {found[-1]})" if found else ""
