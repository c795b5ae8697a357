"""Type and check the settings of a request.

Every layer becomes `--name value` strings for one `HfArgumentParser`, so that a file is checked as strictly as the
command line.
"""

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from trainers.common.environment import asks_for_fsdp
from trainers.contract import Task
from trainers.errors import UserError
from trainers.options import OWN_METADATA, check_ranges
from trainers.settings import surroundings
from trainers.settings.growing import check_growing
from trainers.settings.layers import (
    Layer,
    argv_of,
    merge_layers,
)
from trainers.settings.precision import settle_precision
from trainers.settings.request import Request, check_names
from trainers.settings.run_options import HOW_TO_BUILD, TRAINING_RANGES, RunOptions

if TYPE_CHECKING:
    from transformers import HfArgumentParser, TrainingArguments

_TOKENS_SEEN = {"": "all", "all": "all", "true": "all", "non_padding": "non_padding", "no": "no", "false": "no"}
"""Values of --include_num_input_tokens_seen, of which HfArgumentParser would take true and false only."""
_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_REFUSALS = (ValueError, TypeError, ArithmeticError, ImportError, OSError)
"""What `TrainingArguments` raises about its own fields."""


@dataclass(frozen=True)
class Settings:
    """All options of a run, typed and range-checked."""

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
        """Return the value of a flag as it was given in any layer, or None."""
        return self.request.sources.get(name, (None,))[0]


def resolve_settings(request: Request) -> Settings:
    """Type and check every value; raise a `UserError` for a wrong type or range, and for values in conflict."""
    from transformers import TrainingArguments

    task = request.task
    flags = settle_precision(merge_layers(request.layers))
    if "evals_per_epoch" in flags:  # `runs.cadence.settle` counts the steps; until then transformers wants some number
        flags = {"save_steps": ["1"], **flags, "eval_steps": ["1"]}
    _check_json(flags)
    tokens_seen = flags.pop("include_num_input_tokens_seen", ["no"])
    types = (RunOptions, task.options, task.model_options, TrainingArguments)
    try:
        run, dataset, model, training = _parse(types, flags, request)
    except _REFUSALS as error:
        raise UserError(f"transformers refuses {_refused(types, flags)}: {error}; correct or remove it") from error
    if (counted := " ".join(tokens_seen).lower()) not in _TOKENS_SEEN:
        raise UserError(f"--include_num_input_tokens_seen is {counted}; choose all, non_padding or no")
    training.include_num_input_tokens_seen = _TOKENS_SEEN[counted]
    _check_training(training)
    surroundings.follow_settings(training)
    if run.muon and asks_for_fsdp():
        raise UserError("--muon needs complete matrices, which FSDP cuts up; add --no_muon, or launch without FSDP")
    if run.min_learning_rate and not run.restart_epochs:
        raise UserError("--min_learning_rate belongs to --restart_epochs; give that too, or --lr_scheduler_kwargs")
    check_growing(run, task)
    return Settings(request, run, dataset, model, training)


def dataset_options(request: Request) -> tuple[Any, RunOptions]:
    """Type and check only the dataset builder's options, and those of a run that say how it is built."""
    names = {*HOW_TO_BUILD, *(item.name for item in dataclasses.fields(request.task.options))}
    flags = {n: v for layer in request.layers.values() for n, v in layer.items() if n in names}
    options, run = _parse((request.task.options, RunOptions), flags, request)
    return options, run


def read_command(flags: Layer, *types: Any) -> tuple[Any, ...]:
    """Return instances of the options classes `types` from the command line of another command than run.py.

    Raises:
        UserError: An unknown flag (with suggestions), a wrong type, or a number out of its range.
    """
    check_names(flags, {"": [item.name for kind in types for item in dataclasses.fields(kind)]}, "command line")
    if not flags:
        return tuple(kind() for kind in types)  # nothing to parse: transformers' parser need not be imported
    return _parse(types, flags)


def _parse(types: tuple[Any, ...], flags: Layer, request: Request | None = None) -> tuple[Any, ...]:
    """Return instances of the dataclasses `types`; an error names the layer of `request` that a value is from."""
    parser = parser_of(types, request)
    *parsed, rest = parser.parse_args_into_dataclasses(argv_of(flags), True, look_for_args_file=False)
    if rest:
        raise UserError(f"{' '.join(rest)!r} is left over; a setting takes one value, and --no_name takes none")
    for options in parsed:
        check_ranges(options, TRAINING_RANGES)
    return tuple(parsed)


def _refused(types: tuple[Any, ...], flags: Layer) -> str:
    """Return the flag without which `TrainingArguments` accepts all others, e.g. `--optim_args x`; last given first."""
    for name in reversed(flags):
        with contextlib.suppress(*_REFUSALS):
            _parse(types, {other: values for other, values in flags.items() if other != name})
            return f"--{name} {' '.join(flags[name])}"
    return "these training settings"


def parser_of(types: tuple[Any, ...], request: Request | None = None) -> "HfArgumentParser":
    """Return a parser with a flag for every field of the dataclasses `types`."""
    from transformers import HfArgumentParser

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            names, _, complaint = message.removeprefix("argument --").partition(":")
            name = names.partition("/")[0]  # without its second spelling, with hyphens
            origin = f" (from {request.sources[name][1]})" if request and name in request.sources else ""
            raise UserError(f"--{name}:{complaint}{origin}")

        def add_argument(self, *names: Any, **kwargs: Any) -> Any:
            """Add an argument without the metadata that `HfArgumentParser` hands on but argparse does not know."""
            return super().add_argument(*names, **{n: v for n, v in kwargs.items() if n not in OWN_METADATA})

    return Parser(types, allow_abbrev=False)  # pyright: ignore[reportArgumentType]


def _check_json(flags: Layer) -> None:
    """Check that settings of mappings are JSON (or a file of it): transformers would fail only when it uses them."""
    for name, values in flags.items():
        text = " ".join(values)
        is_file = name == "accelerator_config" and Path(text).is_file()
        if is_file or not (name.endswith(("_kwargs", "_config")) or text.startswith("{")):
            continue
        with contextlib.suppress(json.JSONDecodeError):
            if isinstance(json.loads(text), dict):
                continue
        raise UserError(f"--{name} is {text!r}, expected JSON such as '{{\"power\": 2}}'")


def _check_training(training: "TrainingArguments") -> None:
    from accelerate.utils import DynamoBackend

    backends = tuple(backend.value.lower() for backend in DynamoBackend)
    for name, choices in (("torch_compile_backend", backends), ("torch_compile_mode", _COMPILE_MODES)):
        value = getattr(training, name)
        if value not in (None, *choices):
            raise UserError(f"--{name} is {value}; choose {', '.join(choices)}")
    optim = str(training.to_dict()["optim"])
    if training.optim_target_modules and not optim.startswith(("galore", "apollo")):
        raise UserError(f"--optim_target_modules does nothing with --optim {optim}; leave it out")
    if training.max_steps == 0 or training.max_steps < -1:
        raise UserError(f"--max_steps is {training.max_steps}; it must be at least 1 (or -1 for --num_train_epochs)")
