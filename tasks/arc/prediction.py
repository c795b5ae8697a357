"""Answer the test inputs of ARC tasks from a JSON file, and draw grids in a terminal."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.arc.generators.concept import Pair
from tasks.arc.grids import COLOURS_RGB
from tasks.arc.options import fewest_context
from tasks.arc.sources import as_grid
from trainers.errors import UserError
from trainers.folders.run_dataset import own_metadata
from trainers.runs.prediction import Answer, Predictor, Source


@dataclass(frozen=True)
class Question:
    """A test input of a task, the demonstrations of its rule, and the output if the file has it."""

    task: str
    test: int
    demonstrations: list[Pair]
    before: np.ndarray
    after: np.ndarray | None


class GridPredictor(Predictor):
    """Gives two attempts at every test output."""

    def read(self, source: Source) -> list[Question]:
        """Read tasks; the first demonstrations are shown, as many as the run's dataset shows at most."""
        if source.prompts:
            raise UserError("grids are not written as words; give --file with a JSON file of ARC tasks, or pipe it in")
        options, name = self._options(), Path(source.file).stem if source.file else "standard input"
        try:
            content = json.loads(source.content())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source.name} is no JSON ({error}); give a file of ARC tasks") from error
        questions = read_questions(content, name, source.name)
        for question in questions:
            _check(question, fewest_context(options))
        if larger := sum(_side(question, options["n_context"]) > options["max_side"] for question in questions):
            print(
                f"note: {larger} of {len(questions)} test inputs have grids larger than the side of"
                f" {options['max_side']} that the model was trained for",
                file=sys.stderr,
            )
        if unseen := sum(len(question.demonstrations) > options["n_context"] for question in questions):
            print(
                f"note: {unseen} of {len(questions)} test inputs have more demonstrations than the"
                f" {options['n_context']} of the training at most; the first ones are shown",
                file=sys.stderr,
            )
        return questions

    def answer(self, asked: Sequence[Question]) -> list[Answer]:
        """Generate two attempts, as `ArcTrainer` does."""
        import torch
        from datasets import Dataset

        from tasks.arc.data import FEATURES
        from tasks.arc.decoding import two_attempts
        from tasks.arc.model import ArcModel
        from tasks.arc.rows import ArcRows

        options = self._options()
        sides = [_side(question, options["n_context"]) for question in asked]
        options = {**options, "max_side": max(options["max_side"], *sides)}  # an answer may be as large as what is seen
        model = self.load(ArcModel)
        table = Dataset.from_list([_row(question, options["n_context"]) for question in asked], features=FEATURES)
        rows = ArcRows("asked", table, model.config, options)
        grids: dict[int, tuple[Any, Any]] = {}
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bool(self.setting("bf16"))):
            for part in torch.argsort(rows.length_N, stable=True).split(self.batch_size):
                chosen = part.tolist()
                attempts = two_attempts(model, rows.prompts(chosen), rows.longest_answer)
                grids |= dict(zip(chosen, zip(*attempts, strict=True), strict=True))
        return [_answer(question, *grids[number]) for number, question in enumerate(asked)]

    def text(self, answer: Answer, coloured: bool) -> str:
        """Draw the input and both attempts side by side."""
        known = {None: "", True: " (right)", False: " (wrong)"}
        columns = [_drawn("input", answer["input"], coloured)]
        for title, number in (("attempt 1", ""), ("attempt 2", "_2")):
            title += known[answer[f"right{number}"]]
            columns.append(_drawn(title, answer[f"answer{number}"], coloured))
        lines = ("   ".join(cells).rstrip() for cells in zip(*_padded(columns), strict=True))
        return "\n".join([f"{answer['task']}, test {answer['test']}", *lines, ""])

    def _options(self) -> dict[str, Any]:
        return own_metadata(self.run)["options"]


def read_questions(content: Any, name: str, where: str) -> list[Question]:
    """Return every test input of one task, or of many by name, in ARC's JSON.

    Args:
        name: Of the task, if there is one without a name. where: What errors call the file.

    Raises:
        UserError: it is none, or has no test input.
    """
    if not isinstance(content, dict) or "train" in content or not content:
        content = {name: content}
    questions = [question for task, of in content.items() for question in _questions(task, of, f"{where}, task {task}")]
    if not questions:
        raise UserError(f"{where} has no test input; give a file of ARC tasks with `test`")
    return questions


def _questions(task: str, content: Any, where: str) -> list[Question]:
    try:
        shown = [(pair["input"], pair["output"]) for pair in content["train"]]
        tests = [(pair["input"], pair.get("output")) for pair in content["test"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} is no ARC task ({type(error).__name__}: {error}); expected train, a list of input and output, and"
            " test, a list of input"
        ) from error
    demonstrations = [(as_grid(before, where), as_grid(after, where)) for before, after in shown]
    return [
        Question(task, number, demonstrations, as_grid(before, where), after and as_grid(after, where))
        for number, (before, after) in enumerate(tests, start=1)
    ]


def _check(question: Question, fewest: int) -> None:
    """Raise a `UserError` unless there are as many demonstrations as the model was trained with at least."""
    if (n_shown := len(question.demonstrations)) < fewest:
        raise UserError(
            f"task {question.task}, test {question.test} has {n_shown} demonstrations, the model was trained with"
            f" {fewest}; give as many"
        )


def _side(question: Question, n_context: int) -> int:
    """Return the largest height or width of the grids that the model is shown."""
    grids = [question.before, *(grid for pair in question.demonstrations[:n_context] for grid in pair)]
    return max(max(grid.shape) for grid in grids)


def _row(question: Question, n_context: int) -> dict[str, Any]:
    from tasks.arc.data import row_of

    nothing = np.zeros((1, 1), np.uint8)  # never looked at: only prompts are made of these rows
    return row_of(question.task, question.test, (question.before, nothing), question.demonstrations[:n_context])


def _answer(question: Question, first: np.ndarray | None, second: np.ndarray | None) -> Answer:
    """Return both attempts, None where the model wrote no grid, and whether they are right, if the output is known."""
    attempts = [None if grid is None else grid.tolist() for grid in (first, second)]
    right = [None if question.after is None else attempt == question.after.tolist() for attempt in attempts]
    asked = {"task": question.task, "test": question.test, "input": question.before.tolist()}
    return {**asked, "answer": attempts[0], "answer_2": attempts[1], "right": right[0], "right_2": right[1]}


def _drawn(title: str, grid: list[list[int]] | None, coloured: bool) -> list[tuple[str, int]]:
    """Return lines and their widths on the screen: a grid under its title."""
    if grid is None:
        return [(title, len(title)), ("no grid", 7)]
    lines = [("".join(map(_cell if coloured else str, line)), len(line) * (2 if coloured else 1)) for line in grid]
    return [(title, len(title)), *lines]


def _cell(colour: int) -> str:
    """Return a square of a colour, for a terminal."""
    red, green, blue = bytes.fromhex(COLOURS_RGB[colour])
    return f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m"


def _padded(columns: Sequence[Sequence[tuple[str, int]]]) -> list[list[str]]:
    """Return the columns' lines, all of a column equally wide, all columns equally long."""
    height = max(map(len, columns))
    padded = []
    for column in columns:
        width = max(length for _, length in column)
        lines = [text + " " * (width - length) for text, length in column]
        padded.append(lines + [" " * width] * (height - len(lines)))
    return padded
