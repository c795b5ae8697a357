"""Measure contenders in processes of their own, in turns, so that other work on the machine slows all alike."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.bench.contests import Contest
from trainers.common.environment import ROOT
from trainers.errors import UserError


@dataclass(frozen=True)
class Turn:
    """Result of one turn of a contender: seconds, units of work, what contenders must agree on, and notes."""

    seconds: float
    units: float
    check: list[float]
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def cost_s(self) -> float:
        """Seconds per unit of work (an example, a token, a row)."""
        return self.seconds / self.units


class Contender:
    """A process that prepares its work, does it once, and once more for every `turn`."""

    def __init__(self, contest: Contest, name: str, options: Mapping[str, Any], scratch: Path) -> None:
        function, own = contest.contenders[name]
        self.name, self._log = name, scratch / f"{contest.name}-{name}.log"
        command = [sys.executable, "-m", "tasks.bench.contender", function, json.dumps({**options, **own})]
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def turn(self) -> Turn:
        """Let it work once."""
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> Turn:
        """Wait for the result of a turn; the first, which is not asked for, follows imports, data and compilation.

        Raises:
            UserError: The process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UserError(f"the contender {self.name} failed: {self._log.read_text()[-400:]}")
        return Turn(**json.loads(line))

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()


def race(
    contest: Contest, names: Sequence[str], options: Mapping[str, Any], rounds: int, scratch: Path
) -> dict[str, list[Turn]]:
    """Measure every contender `rounds` times; each round asks all of them, one after another."""
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for name in names:
            contenders.append(Contender(contest, name, options, scratch))
            stack.callback(contenders[-1].stop)
        for contender in contenders:
            contender.answer()
        for number in range(rounds):
            shift = number % len(contenders)  # nobody is always the first
            for contender in contenders[shift:] + contenders[:shift]:
                turns[contender.name].append(contender.turn())
    return turns
