"""The tasks: one folder each, found by its name. There is no table to edit.

A folder with a `card.md` is a task; one without is what several tasks share.
"""

import dataclasses
import importlib
from pathlib import Path

from trainers.contract import Task
from trainers.errors import UserError, suggest


def names() -> list[str]:
    """Return the names of the tasks in this folder, sorted, without importing them."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/card.md"))


def load(name: str) -> Task:
    """Return the task called `name`: a folder here, or the dotted name of a package from anywhere.

    Raises:
        UserError: no name, no such task (with suggestions), or a package without a `TASK`. An error inside a task's
            own code is not hidden.
    """
    if not name:
        raise UserError(f"no task given; use --task with one of: {', '.join(names())}")
    package = name if "." in name else f"tasks.{name}"
    is_package = "." in name and all(part.isidentifier() for part in name.split("."))
    if not is_package and name not in names():
        raise UserError(f"there is no task {name!r}; the tasks are: {', '.join(names())}.{suggest(name, names())}")
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not (package + ".").startswith(error.name + "."):
            raise
        raise UserError(f"--task {name} names a Python package that cannot be found; is it on PYTHONPATH?") from error
    if not isinstance(getattr(module, "TASK", None), Task):
        raise UserError(f"the package {name} has no TASK (a trainers.contract.Task) in its __init__.py; declare one")
    return dataclasses.replace(module.TASK, name=package.rpartition(".")[2], package=package)
