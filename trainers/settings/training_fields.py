"""Read the fields of `transformers.TrainingArguments` from its source: importing it takes seconds."""

import ast
import dataclasses
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.errors import UserError


@functools.cache
def training_defaults() -> Mapping[str, Any]:
    """Return name -> default of every field (None for a default factory).

    Raises:
        UserError: transformers is not installed.
    """
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package transformers is not installed in this environment; run `make setup`")
    path = Path(spec.submodule_search_locations[0]) / "training_args.py"
    try:
        return read_defaults(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):  # another form of source: import it, which is slower
        from transformers import TrainingArguments

        fields = [item for item in dataclasses.fields(TrainingArguments) if item.init]
        return {f.name: None if f.default is dataclasses.MISSING else f.default for f in fields}


def read_defaults(source: str) -> dict[str, Any]:
    """Return name -> default of every field of the class `TrainingArguments`.

    Raises:
        ValueError: There is no such class without bases, or a default is no plain value.
    """
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    (body,) = [node for node in classes if node.name == "TrainingArguments" and not node.bases]
    assigns = [node for node in ast.walk(body) if isinstance(node, ast.Assign)]  # the last counts: a branch's
    assigned = {target.id: node.value for node in assigns for target in node.targets if isinstance(target, ast.Name)}
    fields = [node for node in body.body if isinstance(node, ast.AnnAssign)]
    return {node.target.id: _default_of(node.value, assigned) for node in fields if isinstance(node.target, ast.Name)}


def _default_of(value: ast.expr | None, assigned: Mapping[str, ast.expr]) -> Any:
    if not isinstance(value, ast.Call):
        raise ValueError("a field that is no call of dataclasses.field")
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    default = given.get("default", ast.Constant(None))
    return ast.literal_eval(assigned.get(default.id, default) if isinstance(default, ast.Name) else default)
