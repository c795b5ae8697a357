"""Trainer of `arc`: generates two attempts at every output grid, and scores them next to trivial baselines."""

from collections.abc import Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from tasks.arc import baselines
from tasks.arc.decoding import two_attempts
from tasks.arc.figures import ArcExample, examples_figure, per_task_figure
from tasks.arc.grids import N_COLOURS, NAMES
from tasks.arc.metric import counts_of_cells, same, scores_of_grids
from tasks.arc.model import ArcModel
from tasks.arc.rows import ArcRows
from trainers.base import WorldTrainer
from trainers.contract import Evaluation, Predictions
from trainers.sampling import pick_examples

SHOWN = 4  # examples in the console; the tracked table has as many of the worst and at random
DRAWN = 8  # examples in the figure
TASKS_NAMED = 30  # tasks with metrics of their own: of a large corpus the best ones


class ArcTrainer(WorldTrainer):
    """Trainer whose evaluation generates grids."""

    smooths_labels = False  # the model computes its loss itself

    def make_processor(self, model: PreTrainedModel) -> None:
        """Grids need no tokenizer."""

    def describe_row(self, split: str, row: int) -> str:
        """Return the tokens that the model sees, and those that the loss sees."""
        batch = cast(ArcRows, self.rows[split]).__getitems__([row])
        lines = [("input  ", batch["input_ids"][0].tolist())]
        lines += [("context", pair) for pair in batch.get("context_ids", torch.zeros(1, 0, 0))[0].tolist()]
        lines += [("loss on", [token for token in batch["labels"][0].tolist() if token >= 0])]
        return "\n".join(f"  {name}  {' '.join(NAMES[token] for token in ids)}" for name, ids in lines)

    def evaluate_split(self, rows: ArcRows) -> Evaluation:
        """Generate two attempts at every example and score them."""
        return self.score(rows, *self._answers(rows))

    def score(self, rows: ArcRows, attempts: list[list[Any]], cells: list[np.ndarray]) -> Evaluation:
        """Score two attempts per example (None: no grid) and the cells predicted under teacher forcing."""
        inputs, true = rows.inputs.list(), rows.outputs.list()
        readable = [[[] if grid is None else grid for grid in tried] for tried in attempts]
        metrics = self.metric.compute(
            predictions=[[np.asarray(grid).tolist() for grid in tried] for tried in readable],
            references=[grid.tolist() for grid in true],
            inputs=[grid.tolist() for grid in inputs],
            teacher_forced=[row.tolist() for row in cells],
        )
        guesses = self._guesses(rows)
        trivial = baselines.scores(inputs, true, guesses)
        trivial["exact_match"][""] = max(trivial["exact_match"].values())
        per_task = _per_task(rows.tasks, [tried[0] for tried in readable], true, list(guesses.values()))
        step = f"{self.task.name}, {rows.split}, step {self.state.global_step:,}"
        values = np.array([(row == grid.ravel()).mean() for row, grid in zip(cells, true, strict=True)])
        picked = pick_examples(_one_of_each_task(rows)[:SHOWN], values, self.state.global_step)
        return Evaluation(
            metrics={**metrics, **{f"exact_match_{name}": share for name, (share, _) in per_task.items()}},
            baselines={**trivial, **{f"exact_match_{name}": {"": best} for name, (_, best) in per_task.items()}},
            references=self._ceilings(rows),
            samples=_samples(rows, picked, [tried[0] for tried in attempts], true),
            predictions={"examples": _predictions(rows, attempts, cells, list(per_task))},
            values=values,
            figures={
                "episodes.png": lambda: examples_figure(_drawn(rows, attempts), step),
                "per_task.png": lambda: per_task_figure(per_task, step),
            },
        )

    def _guesses(self, rows: ArcRows) -> dict[str, list[np.ndarray]]:
        """Return what the trivial baselines answer to every example."""
        return {"copy": rows.inputs.list(), "common": self._common(rows), "patch": rows.nearest_patches}

    def _ceilings(self, rows: ArcRows) -> dict[str, dict[str, float]]:
        """Return the most that the demonstrations of tasks that are not trained on allow, with one attempt and two."""
        if set(rows.tasks.tolist()) & set(self._common_in_training):
            return {}  # training shows more of these than their demonstrations do
        grids = zip(rows.inputs.list(), rows.outputs.list(), strict=True)
        chances = [baselines.ceiling(*pair, rows.demonstrations(row)) for row, pair in enumerate(grids)]
        most = {"exact_match": np.mean(chances), "pass_at_2": np.minimum(2 * np.array(chances), 1).mean()}
        return {metric: {"ceiling": float(share)} for metric, share in most.items()}

    def _common(self, rows: ArcRows) -> list[np.ndarray]:
        """Return for every example the most common output of its task in training, or among its demonstrations."""
        shown = [baselines.most_common([after for _, after in rows.demonstrations(row)]) for row in range(len(rows))]
        return [self._common_in_training.get(task, shown[row]) for row, task in enumerate(rows.tasks.tolist())]

    @cached_property
    def _common_in_training(self) -> dict[str, np.ndarray]:
        train = cast(ArcRows, self.train_dataset)
        outputs = train.outputs.list()
        of_task = _rows_by_task(train.tasks)
        return {task: baselines.most_common([outputs[row] for row in rows]) for task, rows in of_task.items()}

    def _answers(self, rows: ArcRows) -> tuple[list[list[Any]], list[np.ndarray]]:
        """Return two attempts and the teacher-forced cells of every example; every process does its share."""
        state = PartialState()
        by_length = torch.argsort(rows.length_N, stable=True)[state.process_index :: state.num_processes]
        parts = by_length.split(self.args.eval_batch_size) if len(by_length) else ()  # fewer examples than processes
        answers = []
        with self.accelerator.autocast():  # both ways of predicting in the precision of training
            for part in parts:
                chosen = part.tolist()
                answers += zip(chosen, *self._answer(rows, chosen), strict=True)
        if state.num_processes > 1:
            answers = gather_object(answers)
        answers.sort(key=lambda answer: answer[0])
        return [[first, second] for _, first, second, _ in answers], [cells for *_, cells in answers]

    @torch.no_grad()
    def _answer(self, rows: ArcRows, chosen: list[int]) -> tuple[list[Any], list[Any], list[np.ndarray]]:
        model = cast(ArcModel, self.unwrapped_model)
        forced = {name: part.to(model.device) for name, part in rows.__getitems__(chosen).items()}
        predicted = model(**forced).logits[..., :N_COLOURS].argmax(dim=-1).cpu().numpy()
        is_cell = ((forced["labels"] >= 0) & (forced["labels"] < N_COLOURS)).cpu().numpy()
        attempts = two_attempts(model, rows.prompts(chosen), rows.longest_answer)
        return *attempts, [cells[known] for cells, known in zip(predicted, is_cell, strict=True)]


def _per_task(
    tasks: np.ndarray, generated: Sequence[Any], true: Sequence[np.ndarray], guesses: Sequence[Sequence[np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Return task -> its exact match and that of the best guess, for at most `TASKS_NAMED` tasks, the best ones."""

    def share(grids: Sequence[Any], chosen: list[int]) -> float:
        return float(np.mean([same(grids[row], true[row]) for row in chosen]))

    shares = {
        name: (share(generated, chosen), max(share(guess, chosen) for guess in guesses))
        for name, chosen in sorted(_rows_by_task(tasks).items())
    }
    best = sorted(shares, key=lambda name: -shares[name][0])[:TASKS_NAMED]
    return {name: shares[name] for name in sorted(best)}


def _predictions(
    rows: ArcRows, attempts: Sequence[Sequence[Any]], cells: Sequence[np.ndarray], named: Sequence[str]
) -> Predictions:
    """Return one row for every example; `named` are the tasks that have a metric of their own."""
    inputs, true = rows.inputs.list(), rows.outputs.list()
    right = scores_of_grids([[[] if grid is None else grid for grid in tried] for tried in attempts], true)
    counts = counts_of_cells(cells, true, inputs)
    columns = {
        "task": rows.tasks.tolist(),
        "input": [grid.tolist() for grid in inputs],
        "expected": [grid.tolist() for grid in true],
        "predicted": [_lists(first) for first, _ in attempts],
        "predicted_2": [_lists(second) for _, second in attempts],
        "teacher_forced": [row.tolist() for row in cells],
    }
    of_task = {f"exact_match_{name}": rows.tasks == name for name in named}
    return Predictions(
        columns=columns,
        keys=("task", "input"),
        scores={
            **right,
            **{name: part / np.maximum(total, 1) for name, (part, total) in counts.items()},
            **dict.fromkeys(of_task, right["exact_match"]),
        },
        weights={**{name: total for name, (_, total) in counts.items()}, **of_task},
        # No group: the tasks are named, not drawn, so an interval is of pairs of these tasks (a share's is Wilson's).
    )


def _lists(grid: np.ndarray | None) -> list[list[int]] | None:
    return None if grid is None else np.asarray(grid).tolist()


def _samples(
    rows: ArcRows, picked: Sequence[tuple[str, int]], generated: Sequence[Any], true: Sequence[np.ndarray]
) -> dict[str, list[Any]]:
    chosen = [row for _, row in picked]
    return {
        "task": [str(rows.tasks[row]) for row in chosen],
        "expected": [_text(true[row]) for row in chosen],
        "generated": ["no grid" if generated[row] is None else _text(generated[row]) for row in chosen],
        "which": [why for why, _ in picked],
    }


def _drawn(rows: ArcRows, attempts: Sequence[Sequence[Any]]) -> list[ArcExample]:
    examples = []
    for row in _one_of_each_task(rows)[:DRAWN]:
        grids = rows.inputs.numpy(row), rows.outputs.numpy(row), attempts[row][0]
        examples.append(ArcExample(str(rows.tasks[row]), rows.demonstrations(row), *grids))
    return examples


def _one_of_each_task(rows: ArcRows) -> list[int]:
    """Return the first row of every task, then the second of every one, and so on."""
    in_turn = zip_longest(*_rows_by_task(rows.tasks).values())
    return [row for turn in in_turn for row in turn if row is not None]


def _rows_by_task(tasks: np.ndarray) -> dict[str, list[int]]:
    """Return task -> its rows, in order of appearance."""
    rows: dict[str, list[int]] = {}
    for row, task in enumerate(tasks.tolist()):
        rows.setdefault(task, []).append(row)
    return rows


def _text(grid: np.ndarray) -> str:
    return "/".join("".join(map(str, line)) for line in grid.tolist())
