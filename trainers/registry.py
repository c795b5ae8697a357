"""Find tasks by name: a folder below tasks/, or a package from anywhere."""

import dataclasses
import importlib
import re
from pathlib import Path
from types import ModuleType

from trainers.contract import OPTIONAL, PARTS, Task
from trainers.errors import UserError, suggest
from trainers.mixture import mixture_of

_TASKS = Path(__file__).resolve().parent.parent / "tasks"
_NO_CARD = "there is no {}; write in it what the task's rows are, their source and licence"


def names() -> list[str]:
    """Return the names of the tasks of this project, sorted, without importing them."""
    return sorted(_packages())


def _packages() -> dict[str, str]:
    """Return name -> package of every task: a folder with a `card.md`, below `tasks/` or in a family's folder."""
    cards = [*_TASKS.glob("*/card.md"), *_TASKS.glob("*/*/card.md")]
    return {card.parent.name: ".".join(("tasks", *card.parent.relative_to(_TASKS).parts)) for card in cards}


def load(name: str) -> Task:
    """Return the task called `name`: a folder here, the dotted name of a package from anywhere, or several (`a,b`).

    Raises:
        UserError: No name, no such task (with suggestions), or a wrong declaration. An error inside a task's own code
            is not hidden.
    """
    if not name:
        raise UserError(f"no task given; use --task with one of: {', '.join(names())}")
    if len(several := re.split("[,+]", name)) > 1:
        return mixture_of([load(member.strip()) for member in several])
    packages = _packages()
    if re.fullmatch(r"tasks\.\w+", name):  # in run folders from before there were families
        name = name.removeprefix("tasks.")
    package = packages.get(name, name)
    is_package = "." in name and all(part.isidentifier() for part in name.split("."))
    if not is_package and name not in packages:
        for path in (path for path in _TASKS.rglob("__init__.py") if path.parent.name == name):
            if "TASK =" in path.read_text(encoding="utf-8"):
                raise UserError(_NO_CARD.format(path.with_name("card.md")))
        raise UserError(f"there is no task {name!r}; the tasks are: {', '.join(names())}.{suggest(name, names())}")
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not (package + ".").startswith(error.name + "."):
            raise
        raise UserError(f"--task {name} names a Python package that cannot be found; is it on PYTHONPATH?") from error
    if not isinstance(getattr(module, "TASK", None), Task):
        raise UserError(f"the package {name} has no TASK (a trainers.contract.Task) in its __init__.py; declare one")
    return _complete(module.TASK, module)


def _complete(declared: Task, module: ModuleType) -> Task:
    """Return the task with its name and card; parts without a dot lie in the package that declares it."""
    package, declared_in = module.__name__, declared.package or module.__name__

    def absolute(part: str, named: str) -> str:
        if not re.fullmatch(r"[\w.]+:\w+", named):
            raise UserError(f"TASK.{part} of {package} is {named!r}; write it as 'module:attribute', e.g. 'data:build'")
        return named if "." in named else f"{declared_in}.{named}"

    for kind in ("options", "model_options"):
        if not dataclasses.is_dataclass(getattr(declared, kind)):
            raise UserError(f"TASK.{kind} of {package} is {getattr(declared, kind)}; give a class with @dataclass")
    parts = {part: getattr(declared, part) for part in PARTS if getattr(declared, part) or part not in OPTIONAL}
    return dataclasses.replace(
        declared,
        **{part: absolute(part, named) for part, named in parts.items()},
        reports={name: absolute("reports", named) for name, named in declared.reports.items()},
        views={name: absolute("views", named) for name, named in declared.views.items()},
        package=package,
        name=package.rpartition(".")[2],
        base=declared_in.rpartition(".")[2] if declared_in != package else "",
        card=_card_of(module, importlib.import_module(declared_in)),
    )


def _card_of(*modules: ModuleType) -> str:
    """Return the text of `card.md` in the first of these packages' folders that has one."""
    paths = [Path(str(module.__file__)).with_name("card.md") for module in modules]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(_NO_CARD.format(paths[0]))
    return path.read_text(encoding="utf-8")
