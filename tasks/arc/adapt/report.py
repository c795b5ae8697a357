"""Report test-time training: exact match by number of demonstrations and method, every prediction, curve, pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tasks.arc import baselines
from tasks.arc.adapt.arms import Part
from tasks.arc.adapt.given import Given
from tasks.arc.adapt.options import AdaptOptions
from tasks.arc.adapt.pictures import Shown, curve_figure, queries_figure
from tasks.arc.generators.concept import Grid
from tasks.arc.metric import scores_of_grids
from tasks.arc.nearest_patch import nearest_patch
from tasks.arc.rows import ArcRows
from trainers.common.intervals import wilson
from trainers.common.tables import format_table
from trainers.contract import Predictions
from trainers.runs.adaptation import Adapted

METHODS = {
    "adapted": "test-time training, votes",
    "adapted_one_view": "test-time training, one view",
    "frozen": "frozen, votes",
    "frozen_one_view": "frozen, one view",
    "random": "test-time training from random weights, votes",
    "shuffled": "test-time training on shuffled outputs, votes",
    "patch": "nearest patch, no learning",
}
"""Method -> what the table calls it."""
_TASKS_SHOWN = 6  # tasks with a column of their own
_DRAWN, _CONTEXT_DRAWN = 8, 4  # queries in the figure, and how many demonstrations they had, or fewer

Done = tuple[Given, str, Part]
"""A task, the arm that answered it, and what it answered."""


@dataclass(frozen=True)
class Answers:
    """What one method answered with K demonstrations a task: up to two attempts at each of n queries."""

    context: int
    method: str
    rows: list[int]
    attempts: list[list[Grid]]
    votes: list[list[int]]


def report(rows: ArcRows, chosen: Mapping[str, list[int]], done: Sequence[Done], options: AdaptOptions) -> Adapted:
    """Return table, metrics, predictions and figures of all that was answered."""
    answers = _answers(chosen, done)
    true = {row: rows.outputs.numpy(row) for of_task in chosen.values() for row in of_task}
    right = [scores_of_grids(of.attempts, [true[row] for row in of.rows]) for of in answers]
    lines = [_line(of, scores, rows.tasks) for of, scores in zip(answers, right, strict=True)]
    ceilings = _ceilings(rows, chosen, done)
    contexts = [of.context for of in answers]
    drawn = max((context for context in contexts if context <= _CONTEXT_DRAWN), default=contexts[0])
    shown = _shown(rows, [of for of in answers if of.context == drawn], true)
    return Adapted(
        metrics=_metrics(lines, ceilings),
        tables={"test_time_training": lines},
        predictions={f"{of.method}_k{of.context}": _predictions(rows, of, true) for of in answers},
        figures={"curve.png": partial(curve_figure, lines, METHODS), "queries.png": partial(queries_figure, shown)},
        lines=_text(lines, ceilings, list(chosen), done, options),
    )


def _answers(chosen: Mapping[str, list[int]], done: Sequence[Done]) -> list[Answers]:
    """Return the answers of each method with each number of demonstrations, of all tasks."""
    found: dict[tuple[int, str], Answers] = {}
    for given, arm, part in done:
        queries = part["queries"]
        voted = [[np.array(grid, np.uint8) for grid in query["attempts"]] for query in queries]
        _add(found, given.context, arm, chosen[given.task], voted, [query["votes"] for query in queries])
        if arm in ("frozen", "adapted"):
            one = [
                [] if query["first_view"] is None else [np.array(query["first_view"], np.uint8)] for query in queries
            ]
            _add(found, given.context, f"{arm}_one_view", chosen[given.task], one, [[1]] * len(queries))
        if arm == "frozen":
            guesses = [[nearest_patch(query, given.demonstrations)] for query in given.queries]
            _add(found, given.context, "patch", chosen[given.task], guesses, [[1]] * len(queries))
    return [found[key] for key in sorted(found, key=lambda key: (key[0], list(METHODS).index(key[1])))]


def _add(
    found: dict[tuple[int, str], Answers],
    context: int,
    method: str,
    rows: Sequence[int],
    attempts: Sequence[list[Grid]],
    votes: Sequence[list[int]],
) -> None:
    of = found.setdefault((context, method), Answers(context, method, [], [], []))
    of.rows.extend(rows)
    of.attempts.extend(attempts)
    of.votes.extend(votes)


def _line(of: Answers, right: Mapping[str, np.ndarray], tasks: np.ndarray) -> dict[str, Any]:
    """Return a row of the table: shares with Wilson's interval over pairs, and that of each task."""
    line: dict[str, Any] = {"demonstrations": of.context, "method": of.method, "pairs": len(of.rows)}
    for name in ("exact_match", "pass_at_2"):
        low, high = wilson(int(right[name].sum()), len(of.rows))
        line |= {name: float(right[name].mean()), f"{name}_from": low, f"{name}_to": high}
    own = tasks[of.rows]
    return line | {f"pass_at_2_{task}": float(right["pass_at_2"][own == task].mean()) for task in dict.fromkeys(own)}


def _ceilings(rows: ArcRows, chosen: Mapping[str, list[int]], done: Sequence[Done]) -> dict[int, float]:
    """Return number of demonstrations -> what these allow at most, with one attempt."""
    chances: dict[int, list[float]] = {}
    for given in (given for given, arm, _ in done if arm == "frozen"):
        for query, row in zip(given.queries, chosen[given.task], strict=True):
            chance = baselines.ceiling(query, rows.outputs.numpy(row), given.demonstrations)
            chances.setdefault(given.context, []).append(chance)
    return {context: float(np.mean(of)) for context, of in chances.items()}


def _metrics(lines: Sequence[Mapping[str, Any]], ceilings: Mapping[int, float]) -> dict[str, float]:
    found = {f"ceiling_k{context}_exact_match": value for context, value in ceilings.items()}
    for line in lines:
        key = f"{line['method']}_k{line['demonstrations']}"
        found |= {f"{key}_{name}": value for name, value in line.items() if isinstance(value, float)}
    return found


def _predictions(rows: ArcRows, of: Answers, true: Mapping[int, Grid]) -> Predictions:
    """Return one row for every query of a method."""
    padded = [[*tried, None, None][:2] for tried in of.attempts]
    right = scores_of_grids(of.attempts, [true[row] for row in of.rows])
    return Predictions(
        columns={
            "task": rows.tasks[of.rows].tolist(),
            "input": [rows.inputs.numpy(row).tolist() for row in of.rows],
            "expected": [true[row].tolist() for row in of.rows],
            "predicted": [None if first is None else first.tolist() for first, _ in padded],
            "predicted_2": [None if second is None else second.tolist() for _, second in padded],
            "votes": of.votes,
        },
        keys=("task", "input"),
        scores={name: right[name] for name in ("exact_match", "pass_at_2")},
    )


def _shown(rows: ArcRows, answers: Sequence[Answers], true: Mapping[int, Grid]) -> list[Shown]:
    """Return some queries, of every task in turn: what was answered before, and after, and how many views said so."""
    by_method = {of.method: of for of in answers}
    after, before, one = (by_method[name] for name in ("adapted", "frozen", "adapted_one_view"))
    tasks = rows.tasks[after.rows]
    turn = [int((tasks[:place] == task).sum()) for place, task in enumerate(tasks)]
    places = sorted(range(len(tasks)), key=lambda place: (turn[place], place))[:_DRAWN]
    return [
        Shown(
            f"{tasks[place]}, {after.context} shown",
            rows.inputs.numpy(after.rows[place]),
            true[after.rows[place]],
            next(iter(before.attempts[place]), None),
            next(iter(one.attempts[place]), None),
            list(zip(after.attempts[place], after.votes[place], strict=True)),
        )
        for place in places
    ]


def _text(
    lines: Sequence[Mapping[str, Any]],
    ceilings: Mapping[int, float],
    tasks: Sequence[str],
    done: Sequence[Done],
    options: AdaptOptions,
) -> list[str]:
    """Return the table as text, in per cent, with what it is of."""
    named = tasks if len(tasks) <= _TASKS_SHOWN else []
    shown = [
        {
            "K": line["demonstrations"],
            "method": METHODS[line["method"]],
            "exact match": _share(line, "exact_match"),
            "two attempts": _share(line, "pass_at_2") if not line["method"].endswith(("view", "patch")) else "",
            **{task: f"{line[f'pass_at_2_{task}']:.0%}" for task in named},
        }
        for line in lines
    ]
    seconds = [part["training_s"] for _, arm, part in done if arm == "adapted"]
    most = ", ".join(f"{share:.1%} with {context}" for context, share in ceilings.items())
    few = sorted({given.task for given, *_ in done if len(given.demonstrations) < given.context})
    notes = (
        [f"{len(few)} of {len(tasks)} tasks have fewer demonstrations than were asked for, and give all"] if few else []
    )
    return [
        "",
        f"test-time training: each of {len(tasks)} tasks gives K demonstrations, which all of its {lines[0]['pairs']}"
        f" queries together share; {options.adapt_steps} steps of {options.adapt_batch_size} episodes,"
        f" {np.mean(seconds):.0f} s a task",
        format_table(shown),
        f"ceiling of one attempt: {most}; in brackets Wilson's 95 % interval over pairs, of this one draw",
        *notes,
    ]


def _share(line: Mapping[str, Any], name: str) -> str:
    return f"{line[name]:.1%} [{line[f'{name}_from']:.1%}, {line[f'{name}_to']:.1%}]"
