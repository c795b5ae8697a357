"""Fingerprint the code that builds a dataset, so that rows of other code are not taken for its rows."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from trainers.contract import Task

_PROJECT = ("geo", "tokenization", "tasks")
"""Packages here that decide what stands in a row; `trainers` only writes and reads it."""


def code_digest(task: Task) -> str:
    """Return a digest of the builder's module and all it imports, directly or not.

    Of this project and the task's own package the parsed sources count (a comment does not), of others the version.
    """
    builders = task.members or (task,)
    own = {*_PROJECT, *(of.package.partition(".")[0] for of in builders)}
    waiting = [part.partition(":")[0] for of in builders for part in (of.build_dataset, of.tokenizer) if part]
    seen: set[str] = set()
    parts: set[str] = set()
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        if name in seen or root == "trainers":
            continue
        seen.add(name)
        if root not in own:
            parts.add(_version(root))
        elif path := _source_of(name):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            code, imported = _read_code(path.read_bytes(), package)
            parts.add(f"{name} {code}")
            waiting += imported
    return hashlib.sha256("\n".join(sorted(filter(None, parts))).encode("utf-8", "backslashreplace")).hexdigest()


@functools.cache
def _version(package: str) -> str:
    """Return a package with its version; nothing for Python's own, which have none."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache  # a process asks for many datasets, and parsing takes half a second each time
def _read_code(source: bytes, package: str) -> tuple[str, tuple[str, ...]]:
    """Return the parsed code of a module in `package`, and what it imports."""
    tree = ast.parse(source)
    return ast.dump(tree), tuple(_imported(tree, package))


def _source_of(module: str) -> Path | None:
    """Return the file of a module, without importing it; None if there is none (it is a name inside a module)."""
    root, *inner = module.split(".")
    spec = importlib.util.find_spec(root)
    bases = [Path(folder, *inner) for folder in (spec and spec.submodule_search_locations) or ()]
    files = [file for base in bases for file in (base / "__init__.py", base.with_suffix(".py"))]
    return next((file for file in files if file.is_file()), None)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Return the dotted names that a module in `package` imports anywhere, also those that may not be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
