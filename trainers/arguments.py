"""From the command line to typed settings: code default < task default < YAML < command line.

Every layer becomes `--name value` strings for one `HfArgumentParser`, so a file is checked as strictly as the command
line. Names are checked first, without importing transformers, so that a typo is answered at once.
"""

import ast
import dataclasses
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

import tasks
from trainers.contract import Task
from trainers.environment import ROOT
from trainers.errors import UserError, suggest
from trainers.options import REFUSED, STACK_DEFAULTS, TRAINING_RANGES, RunOptions, check_ranges

if TYPE_CHECKING:
    from transformers import TrainingArguments

Layer = dict[str, list[str]]  # flag name -> its values as strings

EITHER_OR = (("evals_per_epoch", "eval_steps"), ("saves_per_epoch", "save_steps"), ("num_train_epochs", "max_steps"))
"""Pairs of settings for the same thing."""


@dataclass(frozen=True)
class Request:
    """The layers of one command line, by name only: nothing is typed yet."""

    task: Task
    layers: Mapping[str, Layer]
    """Source ("stack", "task", "configs/x.yaml", "command line") -> flags, in rising precedence."""

    def sources(self) -> dict[str, tuple[str, str]]:
        """Flag name -> (value, the layer that won)."""
        merged = _merged(self.layers)
        return {
            name: (" ".join(values), source)
            for source, layer in self.layers.items()
            for name, values in layer.items()
            if name in merged
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


def read(argv: Sequence[str], task_only: bool = False) -> Request:
    """Check names and collect the layers; imports nothing heavy.

    Arguments:
        argv: the command line without the program's name.
        task_only: only the dataset's flags are allowed (for building a dataset without a run).

    Raises:
        UserError: unknown task, config or flag (with suggestions), or a flag without a value.
    """
    command_line = _flags_of(argv)
    given, config_name = command_line.get("task"), command_line.get("config")
    config_path = _config_path(config_name[0]) if config_name else None
    config = _read_yaml(config_path) if config_path else {}
    name = (given or config.get("task") or [""])[0]
    if not name:
        raise UserError(f"no task given; use --task with one of: {', '.join(tasks.names())}")
    if "task" in config and config["task"] != [name]:
        raise UserError(f"--task is {name}, but {config_path} is a config for {config['task'][0]}; use one of the two")
    task = tasks.load(name)
    default_config = ROOT / "configs" / f"{name}.yaml"
    if config_path is None and default_config.is_file():
        config_path, config = default_config, _read_yaml(default_config)
    layers = {
        "stack": _strings(STACK_DEFAULTS, "stack"),
        "task": _strings(task.defaults, f"TASK.defaults of {name}"),
        _shown(config_path): config,
        "command line": command_line,
    }
    known = flag_names(task)
    for source, layer in layers.items():
        _check_names(layer, known, source)
    if task_only:
        allowed = {item.name for item in dataclasses.fields(task.options)} | {"task", "config"}
        _check_names(command_line, {"dataset builder": sorted(allowed)}, "command line")
    return Request(task, {source: layer for source, layer in layers.items() if layer})


def task_named_in(argv: Sequence[str]) -> Task | None:
    """The task a command line names, for `--help`; None if it names none."""
    named = _flags_of([token for token in argv if token not in ("-h", "--help")]).get("task")
    return tasks.load(named[0]) if named else None


def resolve(request: Request) -> Settings:
    """Type and check every value.

    Raises:
        UserError: a value of the wrong type, out of range, or in conflict with another.
    """
    from transformers import TrainingArguments

    task = request.task
    flags = _merged(request.layers)
    _check_json(flags)
    try:
        parsed = _parse((RunOptions, task.options, task.model_options, TrainingArguments), flags, request)
    except (ValueError, TypeError, ImportError, OSError) as error:  # what TrainingArguments finds in its own fields
        raise UserError(f"transformers refuses these training settings: {error}") from error
    for options in parsed[:3]:
        check_ranges(options, getattr(options, "RANGES", {}))
    check_ranges(parsed[3], TRAINING_RANGES)
    _check_training(parsed[3])
    return Settings(request, *parsed)


def dataset_options(request: Request) -> Any:
    """Type and check only the dataset builder's options."""
    names = {item.name for item in dataclasses.fields(request.task.options)}
    flags = {n: v for layer in request.layers.values() for n, v in layer.items() if n.removeprefix("no_") in names}
    (options,) = _parse((request.task.options,), flags, request)
    check_ranges(options, getattr(options, "RANGES", {}))
    return options


def _parse(types: tuple[Any, ...], flags: Layer, request: Request) -> tuple[Any, ...]:
    """Instances of the dataclasses `types` from the flags; a wrong type names the layer it came from."""
    from transformers import HfArgumentParser

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            names, _, complaint = message.removeprefix("argument --").partition(":")
            name = names.partition("/")[0]  # without its second spelling, with hyphens
            raise UserError(f"--{name}:{complaint}{_origin(name, request)}")

    argv = [token for name, values in flags.items() for token in _tokens(name, values)]
    parser = Parser(types, allow_abbrev=False)  # pyright: ignore[reportArgumentType]
    *parsed, rest = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True, look_for_args_file=False)
    if rest:
        raise UserError(f"{' '.join(rest)!r} is left over; a setting takes one value, and --no_name takes none")
    return tuple(parsed)


def flag_names(task: Task | None) -> dict[str, list[str]]:
    """Return group -> flag names; the training group is read from transformers' source, without importing it."""
    groups = {"run": [item.name for item in dataclasses.fields(RunOptions)]}
    if task is not None:
        groups["dataset"] = [item.name for item in dataclasses.fields(task.options)]
        groups["model"] = [item.name for item in dataclasses.fields(task.model_options)]
    groups["training"] = [name for name in _training_names() if name not in REFUSED]
    return groups


def _training_names() -> list[str]:
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package transformers is not installed in this environment; run `make setup`")
    source = (Path(spec.submodule_search_locations[0]) / "training_args.py").read_text(encoding="utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    body = classes["TrainingArguments"].body
    return [n.target.id for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]


def _flags_of(argv: Sequence[str]) -> Layer:
    """`--name value ...` and `--name=value` as a layer; `--no_name` is `--name false`."""
    layer: Layer = {}
    values: list[str] | None = None
    for token in argv:
        if token.startswith("--") and len(token) > 2:
            name, equals, value = token[2:].partition("=")
            values = layer[name.replace("-", "_")] = [value] if equals else []
        elif values is None:
            raise UserError(f"{token!r} stands alone; settings are given as --name value")
        else:
            values.append(token)
    empty = next((name for name, values in layer.items() if "" in values), None)
    if empty is not None:
        raise UserError(f"--{empty} has an empty value; give one or leave it out")
    return layer


def _check_names(layer: Layer, known: Mapping[str, list[str]], source: str) -> None:
    names = [name for group in known.values() for name in group]
    for name in layer:
        if name in REFUSED and source != "stack":
            raise UserError(f"--{name} has no effect here: {REFUSED[name]}; remove it")
        if name not in names and name not in REFUSED and name.removeprefix("no_") not in names:
            hint = suggest(name, names) or " `--help` lists every setting."
            raise UserError(f"unknown setting {name!r} ({source}).{hint}")


def _config_path(name: str) -> Path:
    """The file that `--config name` means: a path, or a name below configs/ with or without `.yaml`."""
    for candidate in (Path(name), ROOT / "configs" / name, ROOT / "configs" / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    available = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    stem = Path(name).stem
    raise UserError(f"there is no config {name!r}; configs/ has: {', '.join(available)}.{suggest(stem, available)}")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice instead of keeping the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} stands twice")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Layer:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise UserError(f"{path} {found}, expected lines of the form `name: value`")
    return _strings(content, str(path))


def _strings(content: Mapping[Any, Any], source: str) -> Layer:
    """Values of a YAML file or of Python defaults as the strings one would type."""
    layer: Layer = {}
    for name, value in content.items():
        if value is None:
            raise UserError(f"{source}: {name!r} has no value; give one or delete the line")
        items = value if isinstance(value, list) else [value]
        layer[str(name)] = [json.dumps(item) if isinstance(item, dict) else str(item) for item in items]
    return layer


def _tokens(name: str, values: list[str]) -> list[str]:
    """Flag and values for argparse; `=` keeps a value like -5 or -inf from being read as a flag."""
    if name.startswith("no_") and not values:
        return [f"--{name.removeprefix('no_')}=false"]
    return [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]


def _merged(layers: Mapping[str, Layer]) -> Layer:
    """One layer from all, the last winning; of two settings for the same thing too, e.g. epochs and steps."""
    flags: Layer = {}
    for source, layer in layers.items():
        for one, other in EITHER_OR:
            if one in layer and other in layer:
                raise UserError(f"--{one} and --{other} are both given ({source}); use one of the two")
            if one in layer or other in layer:
                flags.pop(one, None)
                flags.pop(other, None)
        flags |= layer
    if "evals_per_epoch" in flags:
        flags["eval_steps"] = ["1"]  # until the rows are counted (session.set_cadence)
    if "save_steps" not in flags and "eval_steps" in flags:
        flags["save_steps"] = flags["eval_steps"]  # a checkpoint at every evaluation, unless said otherwise
    return flags


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


def _check_training(training: "TrainingArguments") -> None:
    if training.learning_rate == 0:
        raise UserError("--learning_rate is 0; nothing would be learnt: it must be greater than 0")
    if training.max_steps == 0 or training.max_steps < -1:
        raise UserError(f"--max_steps is {training.max_steps}; it must be at least 1 (or -1 for --num_train_epochs)")


def _origin(name: str, request: Request) -> str:
    """` (from configs/x.yaml)` for a flag."""
    found = [source for flag, (_, source) in request.sources().items() if flag in (name, f"no_{name}")]
    return f" (from {found[-1]})" if found else ""


def _shown(path: Path | None) -> str:
    if path is None:
        return "no config"
    resolved = path.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else str(path)
