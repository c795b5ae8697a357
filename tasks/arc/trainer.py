"""The Trainer of `arc`: generates every output grid, twice, and scores it and the trivial baselines."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from tasks.arc import baselines
from tasks.arc.decoding import encode, generate, second_attempt
from tasks.arc.figures import Episode, episodes_figure, per_task_figure
from tasks.arc.grids import N_COLOURS, NAMES, read_grid
from tasks.arc.metric import same
from tasks.arc.model import ArcModel
from tasks.arc.rows import EpisodeRows
from trainers.base import WorldTrainer
from trainers.contract import Evaluation

SHOWN = 4  # examples in the console and in the tracked table
DRAWN = 8  # episodes in the picture
TASKS_NAMED = 30  # tasks with metrics of their own: of a whole corpus the best ones


class ArcTrainer(WorldTrainer):
    """Trains on episodes; evaluation generates."""

    smooths_labels = False  # the model computes its loss itself

    def make_processor(self, model: PreTrainedModel) -> None:
        """Grids need no tokenizer."""

    def describe_row(self, split: str, row: int) -> str:
        """The tokens of the sequence that is trained on, and whether the loss sees them."""
        batch = self.rows[split].__getitems__([row])  # pyright: ignore[reportAttributeAccessIssue]
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        shown = [f"  input    {' '.join(NAMES[token] for token in ids)}"]
        for pair in batch.get("context_ids", torch.zeros(1, 0, 0))[0].tolist():
            shown.append(f"  context  {' '.join(NAMES[token] for token in pair)}")
        return "\n".join([*shown, f"  loss on  {' '.join(NAMES[token] for token in labels if token >= 0)}"])

    def evaluate_split(self, rows: EpisodeRows) -> Evaluation:
        """Generate two attempts for every row and compare them with the true grids."""
        attempts, cells = self._answers(rows)
        return self.score(rows, attempts, cells)

    def score(self, rows: EpisodeRows, attempts: list[list[Any]], cells: list[np.ndarray]) -> Evaluation:
        """Score two attempts a row (None: no grid) and the cells predicted under teacher forcing."""
        inputs, true = rows.inputs.list(), rows.outputs.list()
        readable = [[[] if grid is None else grid for grid in tried] for tried in attempts]
        metrics = self.metric.compute(
            predictions=[[np.asarray(grid).tolist() for grid in tried] for tried in readable],
            references=[grid.tolist() for grid in true],
            inputs=[grid.tolist() for grid in inputs],
            teacher_forced=[row.tolist() for row in cells],
        )
        common = self._common(rows)
        trivial = baselines.scores(inputs, true, common)
        trivial["exact_match"][""] = max(trivial["exact_match"].values())
        per_task = _per_task(rows.tasks, [tried[0] for tried in readable], true, (inputs, common))
        step = f"{self.task.name}, {rows.split}, step {self.state.global_step:,}"
        return Evaluation(
            metrics={**metrics, **{f"exact_match_{name}": share for name, (share, _) in per_task.items()}},
            baselines={**trivial, **{f"exact_match_{name}": {"": best} for name, (_, best) in per_task.items()}},
            samples=_samples(rows, [tried[0] for tried in attempts], true),
            values=np.array([(row == grid.ravel()).mean() for row, grid in zip(cells, true, strict=True)]),
            figures={
                "episodes.png": lambda: episodes_figure(_episodes(rows, attempts), step),
                "per_task.png": lambda: per_task_figure(per_task, step),
            },
        )

    def _common(self, rows: EpisodeRows) -> list[np.ndarray]:
        """For every row the most common output of its task in training, or among its demonstrations."""
        shown, n = rows.context_outputs.list(), rows.n_context
        return [
            self._common_in_training.get(task, baselines.most_common(shown[row * n : (row + 1) * n]))
            for row, task in enumerate(rows.tasks.tolist())
        ]

    @cached_property
    def _common_in_training(self) -> dict[str, np.ndarray]:
        train = cast(EpisodeRows, self.train_dataset)
        outputs = train.outputs.list()
        by_task: dict[str, list[np.ndarray]] = {}
        for task, grid in zip(train.tasks.tolist(), outputs, strict=True):
            by_task.setdefault(task, []).append(grid)
        return {task: baselines.most_common(grids) for task, grids in by_task.items()}

    def _answers(self, rows: EpisodeRows) -> tuple[list[list[Any]], list[np.ndarray]]:
        """Two attempts and the teacher-forced cells of every row; every process does its share."""
        state = PartialState()
        by_length = torch.argsort(rows.length_N, stable=True)[state.process_index :: state.num_processes]
        found = []
        with self.accelerator.autocast():  # both ways of predicting in the precision of training
            for start in range(0, len(by_length), self.args.eval_batch_size):
                chosen = by_length[start : start + self.args.eval_batch_size].tolist()
                found += zip(chosen, *self._answer(rows, chosen), strict=True)
        if state.num_processes > 1:
            found = gather_object(found)
        found.sort(key=lambda answer: answer[0])
        return [[first, second] for _, first, second, _ in found], [cells for *_, cells in found]

    @torch.no_grad()
    def _answer(self, rows: EpisodeRows, chosen: list[int]) -> tuple[list[Any], list[Any], list[np.ndarray]]:
        model = cast(ArcModel, self.unwrapped_model)
        forced = {name: part.to(model.device) for name, part in rows.__getitems__(chosen).items()}
        predicted = model(**forced).logits[..., :N_COLOURS].argmax(dim=-1).cpu().numpy()
        is_cell = ((forced["labels"] >= 0) & (forced["labels"] < N_COLOURS)).cpu().numpy()
        prompts = encode(model, **{name: part.to(model.device) for name, part in rows.prompts(chosen).items()})
        first = generate(model, prompts, rows.longest_answer)
        second = second_attempt(model, prompts, rows.longest_answer, first)
        grids = [[read_grid(ids) for ids in attempt.cpu().numpy()] for attempt in (first.ids_BT, second)]
        return grids[0], grids[1], [cells[known] for cells, known in zip(predicted, is_cell, strict=True)]


def _per_task(
    tasks: np.ndarray, generated: Sequence[Any], true: Sequence[np.ndarray], guesses: Sequence[Sequence[np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Task -> its exact match and that of the better guess; with very many tasks only of the best ones."""
    of_task: dict[str, list[int]] = {}
    for row, name in enumerate(tasks.tolist()):
        of_task.setdefault(name, []).append(row)

    def share(grids: Sequence[Any], chosen: list[int]) -> float:
        return float(np.mean([same(grids[row], true[row]) for row in chosen]))

    found = {
        name: (share(generated, chosen), max(share(guess, chosen) for guess in guesses))
        for name, chosen in sorted(of_task.items())
    }
    best = sorted(found, key=lambda name: -found[name][0])[:TASKS_NAMED]
    return {name: found[name] for name in sorted(best)}


def _samples(rows: EpisodeRows, generated: Sequence[Any], true: Sequence[np.ndarray]) -> dict[str, list[Any]]:
    chosen = _one_of_each_task(rows)[:SHOWN]
    return {
        "task": [str(rows.tasks[row]) for row in chosen],
        "expected": [_text(true[row]) for row in chosen],
        "generated": ["no grid" if generated[row] is None else _text(generated[row]) for row in chosen],
    }


def _episodes(rows: EpisodeRows, attempts: Sequence[Sequence[Any]]) -> list[Episode]:
    n, drawn = rows.n_context, []
    for row in _one_of_each_task(rows)[:DRAWN]:
        context = range(row * n, (row + 1) * n)
        pairs = [(rows.context_inputs.numpy(place), rows.context_outputs.numpy(place)) for place in context]
        drawn.append(
            Episode(str(rows.tasks[row]), pairs, rows.inputs.numpy(row), rows.outputs.numpy(row), attempts[row][0])
        )
    return drawn


def _one_of_each_task(rows: EpisodeRows) -> list[int]:
    """The first row of every task, then the second of every one, and so on."""
    seen: dict[str, int] = {}
    rank = []
    for row, task in enumerate(rows.tasks.tolist()):
        rank.append((seen.setdefault(task, 0), row))
        seen[task] += 1
    return [row for _, row in sorted(rank)]


def _text(grid: np.ndarray) -> str:
    return "/".join("".join(map(str, line)) for line in grid.tolist())
