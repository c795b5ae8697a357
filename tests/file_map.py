"""Write the file maps of the READMEs, one line a module from its docstring: `make map`. A test compares them."""

import ast
import re
from pathlib import Path

from tests.helpers import ROOT

BLOCK = re.compile(r"(<!-- files of (\S+), by `make map` -->\n).*?(<!-- end of files -->)", re.S)


def file_map(folder: Path) -> str:
    """The packages below a folder, then its files: each with the first line of its docstring."""
    modules = sorted(folder.rglob("*.py"), key=lambda path: (path.parent, path.name))
    packages = [path for path in modules if path.name == "__init__.py" and path.parent != folder]
    files = [path for path in modules if path.name != "__init__.py"]
    return "\n".join(_table(folder, paths) for paths in (packages, files) if paths)


def _table(folder: Path, modules: list[Path]) -> str:
    names = [path.relative_to(folder).as_posix().removesuffix("__init__.py") for path in modules]
    width = max(map(len, names))
    return "".join(f"{name:<{width}}  {first_line(path)}\n" for name, path in zip(names, modules, strict=True))


def first_line(module: Path) -> str:
    """The first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring, f"{module} has no docstring"
    return docstring.partition("\n")[0]


def with_maps(text: str) -> str:
    """The text of a README with its maps as the files are now."""
    return BLOCK.sub(lambda block: f"{block[1]}```\n{file_map(ROOT / block[2])}```\n{block[3]}", text)


if __name__ == "__main__":
    for readme in sorted(ROOT.glob("t*/**/README.md")):
        readme.write_text(with_maps(readme.read_text(encoding="utf-8")), encoding="utf-8")
