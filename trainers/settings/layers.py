"""Read the command line and YAML files as layers of flag names and strings, and merge them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainers.common.environment import CODE
from trainers.errors import UserError, suggest
from trainers.folders.run_folder import RunFolder

Layer = dict[str, list[str]]  # flag name -> its values as strings

EITHER_OR = (
    ("evals_per_epoch", "eval_steps"),
    ("saves_per_epoch", "save_steps"),
    ("num_train_epochs", "max_steps"),
    ("restart_epochs", "lr_scheduler_type"),
    ("precision", "bf16"),
)
"""Pairs of settings for the same thing."""


def flags_of(argv: Sequence[str]) -> Layer:
    """Return `--name value ...` and `--name=value` as a layer; `--no_name` is `--name false`."""
    layer: Layer = {}
    values: list[str] | None = None
    for token in argv:
        if token.startswith("--") and len(token) > 2:
            name, equals, value = token[2:].partition("=")
            name = name.replace("-", "_")
            layer.pop(name, None)  # a flag that is given again counts where it stands now
            values = layer[name] = [value] if equals else []
        elif values is None:
            raise UserError(f"{token!r} stands alone; settings are given as --name value")
        else:
            values.append(token)
    given: Layer = {}
    for name, values in layer.items():  # the last of --x and --no_x counts
        if "" in values:
            raise UserError(f"--{name} has an empty value; give one or leave it out")
        is_off = name.startswith("no_") and not values
        given[name.removeprefix("no_") if is_off else name] = ["false"] if is_off else values
    return given


def is_true(values: Sequence[str]) -> bool:
    """Return whether the values of a flag switch it on, in the words that `HfArgumentParser` takes."""
    return " ".join(values).lower() in ("", "1", "true", "yes", "t", "y")


def config_path(name: str) -> Path:
    """Return what `--config` names: a file, a name below configs/ with or without `.yaml`, or the folder of a run."""
    if RunFolder(Path(name)).has_marker:
        return Path(name)
    for candidate in (Path(name), CODE / "configs" / name, CODE / "configs" / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    available = sorted(path.stem for path in (CODE / "configs").glob("*.yaml"))
    stem = Path(name).stem
    raise UserError(
        f"--config: there is no config {name!r}; configs/ has: {', '.join(available)}.{suggest(stem, available)}"
    )


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, and aliases of lists and mappings, which can expand beyond all memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_alias and not isinstance(node, yaml.ScalarNode):
            raise yaml.YAMLError("an alias (*name) stands for a list or a mapping; write that out")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} is there twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Layer:
    """Return the flags of a YAML file; raise a `UserError` unless it has lines of the form `name: value`."""
    return as_strings(read_mapping(path, _StrictLoader), str(path))


def read_mapping(path: Path, loader: type[yaml.SafeLoader]) -> dict[Any, Any]:
    """Return the names and values of a YAML file; raise a `UserError` if it holds anything else."""
    text = path.read_bytes()
    try:
        content = yaml.load(text.decode("utf-8"), Loader=loader)  # noqa: S506 (a SafeLoader)
        if isinstance(content, dict):
            return content
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML has an error of its own for syntax only; a value that it cannot make raises what Python raises.
        raise UserError(f"{path} is not readable YAML: {' '.join(str(error).split())[:300]}") from error
    problem = "is empty" if content is None else f"holds a {type(content).__name__}"
    raise UserError(f"{path} {problem}, expected lines of the form `name: value`")


def as_strings(content: Mapping[Any, Any], source: str) -> Layer:
    """Return values of a YAML file or of Python defaults as the strings one would type."""
    layer: Layer = {}
    for name, value in content.items():
        if value is None:
            raise UserError(f"{source}: {name!r} has no value; give one or delete the line")
        items = value if isinstance(value, list) else [value]
        try:
            typed = [json.dumps(item) if isinstance(item, dict) else str(item) for item in items]
        except (TypeError, ValueError) as error:  # dates in a mapping, integers of thousands of digits
            raise UserError(f"{source}: {name!r} cannot be used ({error}); give texts and numbers") from error
        if len(typed) > 1 and any(text.startswith("--") for text in typed):
            raise UserError(f"{source}: {name!r} has a value like a flag, {' '.join(typed)}; correct it")
        layer[str(name)] = typed
    return layer


def argv_of(flags: Layer) -> list[str]:
    """Return a command line for argparse; `=` keeps a value like -5 or -inf from being read as a flag."""
    argv: list[str] = []
    for name, values in flags.items():
        argv += [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]
    return argv


def merge_layers(layers: Mapping[str, Layer]) -> Layer:
    """Return one layer from all, the last winning; of two settings for the same thing too, e.g. epochs and steps."""
    flags: Layer = {}
    for source, layer in layers.items():
        for one, other in EITHER_OR:
            if one in layer and other in layer:
                raise UserError(f"--{one} and --{other} are both given ({source}); use one of the two")
            if one in layer or other in layer:
                flags.pop(one, None)
                flags.pop(other, None)
        if "lr_scheduler_type" in layer or "restart_epochs" in layer:
            flags.pop("lr_scheduler_kwargs", None)  # they were another schedule's
        flags |= layer
    if "save_steps" not in flags and "eval_steps" in flags:
        flags["save_steps"] = flags["eval_steps"]  # a checkpoint at every evaluation, unless said otherwise
    return flags


def display_path(path: Path | None) -> str:
    """Return the name of a config in messages: relative to the project if it lies there."""
    if path is None:
        return "no config"
    resolved = path.resolve()
    return str(resolved.relative_to(CODE)) if resolved.is_relative_to(CODE) else str(path)
