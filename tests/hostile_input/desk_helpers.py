"""A desk to put bad input on, values of every kind, and what must be answered."""

import contextlib
import io
import os
import shutil
import string
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.helpers import assert_one_line, contents
from trainers import registry, run

TASKS = registry.names()

DRY = ["--dry_run", "--threads", "1", "--use_cpu"]

PLAIN = dict(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def many(count):
    """Settings of a test that is to see so many inputs."""
    return settings(max_examples=count, **PLAIN)


@dataclass
class Desk:
    """A folder to work in, the prefix and the input below it, and what works."""

    folder: Path
    prefix: Path
    input: Path
    run: Path
    datasets: dict[str, Path]
    monkeypatch: pytest.MonkeyPatch

    def clear(self):
        """An empty input folder."""
        shutil.rmtree(self.input, ignore_errors=True)
        self.input.mkdir()

    def put(self, name, content):
        """The only input: a file."""
        self.clear()
        (self.input / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(self.input / name)

    def copy(self, folder):
        """The only input: a copy of a folder, without its checkpoints."""
        shutil.rmtree(self.input, ignore_errors=True)
        return Path(shutil.copytree(folder, self.input, ignore=shutil.ignore_patterns("checkpoint-*")))


def told(desk, argv, main=run.main):
    """The sentence, or nothing if the input was taken; everything on the desk must still be what it was."""
    before, surroundings = contents(desk.folder), dict(os.environ)
    printed, error = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(error):
            code = main(argv)
    finally:
        os.environ.clear()
        os.environ.update(surroundings)
        known = set(desk.datasets.values())
        for built in set((desk.prefix / "datasets").glob("[!.]*")) - known:
            assert (built / "metadata.json").is_file()
            shutil.rmtree(built)  # whole datasets may be built on the way to a refusal
    assert contents(desk.folder) == before
    if code == 0:
        return ""
    sentence = error.getvalue()
    assert code == 2
    assert_one_line(sentence)
    return sentence


def refused(desk, argv):
    """The input must not be taken."""
    assert told(desk, argv), "this was taken for good input"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 64),
    st.sampled_from([2**31, 2**63, -(2**63), 10**30, 10**400]),
    st.floats(width=32),
    st.sampled_from([1e308, float("nan"), float("inf"), -0.0, 1e-320]),
    st.text(max_size=8),
    st.sampled_from(["\0", "a\0b", "\ud800", "..", "/", "-1", "--overwrite", "{", "{}", "[]", "~", "a" * 5000]),
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)

LETTERS = string.ascii_lowercase + "_"


def as_bytes(text):
    return text.encode("utf-8", "surrogatepass")


ANY_JSON = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([b"", b"{", b"[" * 100_000, b"9" * 5000, b'{"train": [], "test": []}', b"\xef\xbb\xbf{}", b"NaN"]),
    st.integers(900, 1000).map(lambda depth: b'{"train": ' + b"[" * depth + b"]" * depth + b', "test": []}'),
)


def damaged(data):
    """Strategy: bytes with some cut off, changed or put in."""
    place = st.integers(0, max(0, len(data) - 1))
    return st.one_of(
        place.map(lambda end: data[:end]),
        st.tuples(place, st.binary(min_size=1, max_size=20)).map(
            lambda drawn: data[: drawn[0]] + drawn[1] + data[drawn[0] + len(drawn[1]) :]
        ),
        st.tuples(place, st.binary(min_size=1, max_size=20)).map(
            lambda drawn: data[: drawn[0]] + drawn[1] + data[drawn[0] :]
        ),
        st.binary(max_size=60),
    )
