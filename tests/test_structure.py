"""The structure: who may import whom, no circles, nothing in package files, how full a folder is."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers import ROOT

FORBIDDEN = {
    "geo": ("tokenization", "trainers", "tasks", "torch", "transformers", "mlflow", "datasets", "evaluate"),
    "tokenization": ("geo", "trainers", "tasks", "mlflow"),
    "trainers": ("tasks",),
    "tasks/geography": ("tasks.arc", "tasks.in_context_rl", "tasks.bench"),
    "tasks/in_context_rl": ("tasks.arc", "tasks.geography", "tasks.bench"),
    "tasks/arc": ("tasks.geography", "tasks.in_context_rl"),
}
"""Folder -> what nothing below it may import, at the top of a file or inside a function."""
PACKAGES = ("geo", "tokenization", "trainers", "tasks")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
"""Dotted name -> file of every module."""


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere, with the names behind `from`, as far as they are modules here."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ({name if name in FILES else str(node.module) for name in submodules})


GRAPH = {name: {found for found in imports_of(path) if found in FILES} - {name} for name, path in FILES.items()}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_nothing_imports_upwards(folder):
    banned = FORBIDDEN[folder]
    wrong = [
        (name, found)
        for name, path in FILES.items()
        if path.is_relative_to(ROOT / folder)
        for found in imports_of(path)
        if any(f"{found}.".startswith(f"{ban}.") for ban in banned)
    ]
    assert wrong == []


def circle_of(graph: dict[str, set[str]]) -> list[str]:
    """One circle of the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def room_of(name: str) -> str:
    """The package below `trainers`, `tasks` or `geo` that a module lies in, or the module itself."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 else name


def test_no_module_imports_itself_through_others():
    assert circle_of(GRAPH) == []


def test_no_package_imports_itself_through_others():
    rooms: dict[str, set[str]] = {}
    for name, imported in GRAPH.items():
        rooms.setdefault(room_of(name), set()).update({room_of(found) for found in imported} - {room_of(name)})
    assert circle_of(rooms) == []


def test_a_planted_circle_is_found():
    assert set(circle_of({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_package_files_of_trainers_import_nothing():
    packages = [
        path for path in FILES.values() if path.name == "__init__.py" and path.is_relative_to(ROOT / "trainers")
    ]
    assert len(packages) > 10 and [path for path in packages if list(imports_of(path))] == []


def test_trainers_names_no_task():
    names = {path.parent.name for pattern in ("*/card.md", "*/*/card.md") for path in (ROOT / "tasks").glob(pattern)}
    named = [
        (name, node.value)
        for name, path in FILES.items()
        if name.startswith("trainers")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert len(names) >= 9 and named == []


def entries(folder: str) -> set[str]:
    """What lies at the top of a folder, without what Python leaves there."""
    return {path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"}


def test_folders_stay_readable():
    assert len([name for name in entries("trainers") if name.endswith(".py")]) <= 12
    assert len(entries("tasks") - {"__init__.py", "tour.ipynb", "README.md"}) <= 5
