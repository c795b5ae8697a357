"""Compare the speed of the text tasks with what one would write otherwise: one process a contender, in turns.

    python -m tasks.bench
    python -m tasks.bench --only location_64,generating --rounds 10

Every ratio is of one round: how many times as long a contender took for the same work as the first one in the table,
least, median and largest. What contenders must agree on (losses after equal steps, tokens, texts) is checked. JSON goes
to `<EXP_DIR_PREFIX>/bench/`.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.bench.contests import CONTESTS, Contest
from tasks.bench.race import Turn, race
from tasks.bench.report import write_report
from trainers.common import environment
from trainers.common.tables import format_table
from trainers.errors import UserError, suggest
from trainers.options import option
from trainers.settings.command import command

Turns = Mapping[str, Sequence[Turn]]
"""The turns of every contender, by its name."""


@dataclass
class BenchOptions:
    """The contests, and how often each is measured."""

    only: str | None = option(None, f"contests, with commas between: {', '.join(c.name for c in CONTESTS)}")
    rounds: int = option(5, "turns of every contender", least=1, most=1000)
    threads: int | None = option(None, "threads of a contender (default: all cores)", least=1, most=1024)
    compiled: bool = option(True, "compiled contenders too (about a minute each before the first turn)")


def ratios(turns: Turns) -> dict[str, list[float]]:
    """Return, for every contender and round, how many times as long as the first it took for a unit of work."""
    first = next(iter(turns.values()))
    return {
        name: [turn.cost_s / other.cost_s for turn, other in zip(own, first, strict=True)]
        for name, own in turns.items()
    }


def check(contest: Contest, turns: Turns) -> None:
    """Raise a `UserError` unless all contenders came to the same result."""
    (first_name, first), *others = ((name, own[-1].check) for name, own in turns.items())
    for name, result in others:
        for expected, value in zip(first, result, strict=True):
            if abs(value - expected) > contest.tolerance * abs(expected):
                raise UserError(
                    f"{contest.name}: {name} came to {value}, {first_name} to {expected}; times of unequal work cannot"
                    " be compared"
                )


def table(contest: Contest, turns: Turns) -> str:
    """Return one line per contender: units per second, ratios, and whether the target was reached."""
    rows = []
    for name, values in ratios(turns).items():
        middle, wanted = statistics.median(values), contest.targets.get(name)
        rows.append(
            {
                contest.name: name,
                f"{contest.unit}/s": 1 / statistics.median(turn.cost_s for turn in turns[name]),
                "min": min(values),
                "median": middle,
                "max": max(values),
                "at least": wanted,
                "verdict": "" if wanted is None else "reached" if middle >= wanted else "NOT reached",
                "notes": ", ".join(f"{n.replace('_', ' ')} {v:,.3g}" for n, v in turns[name][-1].notes.items()),
            }
        )
    return format_table(rows, {f"{contest.unit}/s": ",.0f", **dict.fromkeys(("min", "median", "max"), ".2f")})


@command(BenchOptions)
def main(options: BenchOptions) -> None:
    """Run the bench."""
    prefix = environment.resolved_prefix()
    threads = options.threads or environment.count_cores()
    start_s, results = time.perf_counter(), {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for contest in _chosen(options.only):
            names = [name for name in contest.contenders if options.compiled or "compiled" not in name]
            rounds = min(options.rounds, contest.rounds)
            turns = race(contest, names, {**contest.options, "threads": threads}, rounds, Path(scratch))
            check(contest, turns)
            print(table(contest, turns), end="\n\n", flush=True)
            results[contest.name] = _record(turns)
    minutes = (time.perf_counter() - start_s) / 60
    write_report(prefix, "bench", {"threads": threads, "minutes": minutes, "contests": results})


def _chosen(only: str | None) -> list[Contest]:
    by_name = {contest.name: contest for contest in CONTESTS}
    names = [name.strip() for name in only.split(",")] if only else list(by_name)
    for name in names:
        if name not in by_name:
            raise UserError(f"--only {name!r} is no contest; there are {', '.join(by_name)}.{suggest(name, by_name)}")
    return [by_name[name] for name in names]


def _record(turns: Turns) -> dict[str, Any]:
    return {
        name: {
            "seconds": [turn.seconds for turn in own],
            "units": own[0].units,
            "ratios": ratios(turns)[name],
            "check": own[-1].check,
            "notes": own[-1].notes,
        }
        for name, own in turns.items()
    }


if __name__ == "__main__":
    sys.exit(main())
