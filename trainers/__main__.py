"""`world-models VERB`, or `python -m trainers VERB`: every file of trainers/commands/ is a verb."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from trainers.errors import UserError, exit_code_of, suggest

_USAGE = """\
World models: tiny transformers on fully known worlds, every run tracked.

  world-models VERB [--name value ...]      `world-models VERB --help` shows the flags of a verb.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that stands first on the command line; return its exit code."""
    verb, *rest = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if verb in _verbs():
        return importlib.import_module(_verbs()[verb]).main(rest)
    return exit_code_of(lambda: _help(verb))


def _verbs() -> dict[str, str]:
    """Verb -> module: `clean-runs` is `clean_runs.py`."""
    names = sorted(path.stem for path in (Path(__file__).parent / "commands").glob("[!_]*.py"))
    return {name.replace("_", "-"): f"trainers.commands.{name}" for name in names}


def _help(verb: str) -> None:
    if verb not in ("-h", "--help", "help"):
        raise UserError(f"there is no verb {verb!r}; give one of {', '.join(_verbs())}.{suggest(verb, _verbs())}")
    print(_USAGE)
    for name, module in _verbs().items():
        summary = str(importlib.import_module(module).__doc__).splitlines()[0]
        print(f"  {name:<12}{summary.partition(':')[0].rstrip('.')}")


if __name__ == "__main__":
    sys.exit(main())
