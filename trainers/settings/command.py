"""Make commands of functions: read the command line, answer `--help`, return an exit code."""

import functools
import itertools
import sys
from collections.abc import Callable, Sequence

from trainers.common import environment
from trainers.errors import exit_code_of
from trainers.folders.run_folder import named_run
from trainers.settings.help_text import options_text
from trainers.settings.layers import Layer, flags_of
from trainers.settings.resolve import read_command

Main = Callable[..., int]
_HELP = {"-h", "--help", "--help_all"}


def command(*options: type, positional: str = "", extra: Callable[[Layer], type] | None = None) -> Callable[..., Main]:
    """Make a command of a function that takes an instance of each options class.

    Args:
        options: Dataclasses; every field is a flag of the command.
        positional: The fields that the first words without `--` set, with spaces between; the last one, if it is a
            list, also takes those behind.
        extra: Returns one more options class, which depends on the flags (on the run or the study that is named).
    """

    def decorate(function: Callable[..., None]) -> Main:
        def read(argv: Sequence[str]) -> tuple[Layer, tuple[type, ...]]:
            named = zip(
                positional.split(), itertools.takewhile(lambda word: not word.startswith("-"), argv), strict=False
            )
            words = [word for name, value in named for word in (f"--{name}", value)]
            flags = flags_of([*words, *argv[len(words) // 2 :]])
            if positional.startswith("run") and "run" in flags:  # before transformers' parser is imported
                named_run(" ".join(flags["run"])).check_marker()
            return flags, (*options, extra(flags)) if extra else options

        def help_of(argv: Sequence[str]) -> str:
            kinds = read(argv)[1] if argv else options
            return "\n".join([str(sys.modules[function.__module__].__doc__), *map(options_text, kinds)])

        @functools.wraps(function)
        def start(argv: Sequence[str]) -> None:
            flags, kinds = read(argv)
            function(*read_command(flags, *kinds))

        return entry_point(help_of)(start)

    return decorate


def entry_point(help_of: Callable[[Sequence[str]], str]) -> Callable[[Callable[[Sequence[str]], None]], Main]:
    """Make a command of a function of the command line; `help_of` is given it without `--help`."""

    def decorate(function: Callable[[Sequence[str]], None]) -> Main:
        def start(argv: Sequence[str]) -> None:
            environment.set_up()
            if _HELP & set(argv):
                print(help_of([token for token in argv if token not in ("-h", "--help")]))
            else:
                function(argv)

        @functools.wraps(function)
        def main(argv: Sequence[str] | None = None) -> int:
            try:
                return exit_code_of(lambda: start(sys.argv[1:] if argv is None else argv))
            except KeyboardInterrupt:
                print("\nstopped", file=sys.stderr, flush=True)
                return 130

        return main

    return decorate
