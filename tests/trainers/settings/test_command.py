"""The one form of every command: options in, exit code out."""

from dataclasses import dataclass

import pytest

from tests.helpers import assert_one_line
from trainers.errors import UserError
from trainers.options import option
from trainers.settings.command import command


@dataclass
class Options:
    """Of a command for these tests."""

    what: str = option("nothing", "what is made")
    count: int = option(1, "how many", least=1)


@dataclass
class More:
    """What only some have."""

    colour: str = option("red", "its colour")


SEEN: list = []


@command(Options, positional="what", extra=lambda flags: More)
def make(options: Options, more: More) -> None:
    """Note what is asked for."""
    if options.what == "trouble":
        raise UserError("no trouble here")
    if options.what == "stop":
        raise KeyboardInterrupt
    SEEN.append((options.what, options.count, more.colour))


@pytest.mark.parametrize(
    "argv, expected",
    [
        ([], ("nothing", 1, "red")),
        (["box"], ("box", 1, "red")),
        (["box", "--count", "2", "--colour=blue"], ("box", 2, "blue")),
        (["--what", "box"], ("box", 1, "red")),
    ],
)
def test_options_are_read_from_the_command_line(argv, expected):
    SEEN.clear()
    assert make(argv) == 0 and [expected] == SEEN


@dataclass
class Words:
    """Of a command that takes several words."""

    what: str = option("nothing", "what is made")
    of: list[str] | None = option(None, "parts")  # noqa: RUF009
    count: int = option(1, "how many", least=1)


@command(Words, positional="what of")
def assemble(options: Words) -> None:
    """Note what is asked for."""
    SEEN.append((options.what, options.of, options.count))


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["box"], ("box", None, 1)),
        (["box", "lid"], ("box", ["lid"], 1)),
        (["box", "a=b", "c(1)=", "--count", "2"], ("box", ["a=b", "c(1)="], 2)),
        (["box", "--of", "lid", "nail"], ("box", ["lid", "nail"], 1)),
        (["--what", "box", "--count=3"], ("box", None, 3)),
    ],
)
def test_further_words_are_a_list(argv, expected):
    SEEN.clear()
    assert assemble(argv) == 0 and [expected] == SEEN


def test_the_real_command_line_is_read_if_none_is_given(monkeypatch):
    SEEN.clear()
    monkeypatch.setattr("sys.argv", ["make", "box"])
    assert make() == 0 and SEEN == [("box", 1, "red")]


@pytest.mark.parametrize(
    "argv, names",
    [
        (["trouble"], ("trouble",)),
        (["--wat", "box"], ("wat", "what")),
        (["--count", "0"], ("--count", "0")),
        (["--count", "x"], ("--count",)),
        (["box", "case"], ("case",)),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(argv, names, capsys):
    SEEN.clear()
    assert make(argv) == 2 and not SEEN
    assert_one_line(capsys.readouterr().err, *names)


def test_help_shows_the_module_and_every_flag_with_its_default_and_does_nothing(capsys):
    SEEN.clear()
    assert make(["box", "--help"]) == 0 and not SEEN
    shown = capsys.readouterr().out
    assert "options in, exit code out" in shown
    assert all(text in shown for text in ("--what nothing", "--count 1", "--colour red", "how many (default)"))


def test_ctrl_c_ends_with_130_and_no_traceback(capsys):
    assert make(["stop"]) == 130
    assert "Traceback" not in capsys.readouterr().err
