"""Contenders in processes of their own, measured in turns, so that whatever else the machine does slows all alike."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tasks.bench.contests import Contest
from trainers.common.environment import ROOT
from trainers.errors import UserError


@dataclass(frozen=True)
class Measured:
    """What one turn of a contender gave: seconds for what units of work, and what must agree between contenders."""

    seconds: float
    units: float
    check: list[float]
    notes: Mapping[str, Any]

    @property
    def cost_s(self) -> float:
        """Seconds per unit of work (a sample, a token, a row)."""
        return self.seconds / self.units


class Contender:
    """A process that has prepared its work and does it once whenever it is asked."""

    def __init__(self, module: str, name: str, options: Mapping[str, Any], log: Path) -> None:
        self.name, self._log = name, log
        command = [sys.executable, "-m", "tasks.bench.contender", module, name, json.dumps(dict(options))]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def wait_until_ready(self) -> None:
        """Its imports, its data, its compiler and a turn that does not count are behind it."""
        self._answer()

    def turn(self) -> Measured:
        """Let it work once."""
        print("go", file=self._pipe(self._process.stdin), flush=True)
        return Measured(**self._answer())

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            self._pipe(stream).close()

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise UserError(f"the contender {self.name} failed: {self._log.read_text()[-400:]}")
        return json.loads(line)

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None  # both were asked for
        return stream


def race(
    contest: Contest, names: Sequence[str], options: Mapping[str, Any], rounds: int, scratch: Path
) -> dict[str, list[Measured]]:
    """Measure every contender `rounds` times; each round asks all of them, one after another."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    with _started(contest, names, options, scratch) as contenders:
        for number in range(rounds):
            shift = number % len(contenders)  # nobody is always the first
            for contender in contenders[shift:] + contenders[:shift]:
                found[contender.name].append(contender.turn())
    return found


@contextmanager
def _started(
    contest: Contest, names: Sequence[str], options: Mapping[str, Any], scratch: Path
) -> Iterator[list[Contender]]:
    contenders = []
    try:
        for name in names:
            contenders.append(Contender(contest.module, name, options, scratch / f"{contest.name}-{name}.log"))
        for contender in contenders:
            contender.wait_until_ready()
        yield contenders
    finally:
        for contender in contenders:
            contender.stop()
