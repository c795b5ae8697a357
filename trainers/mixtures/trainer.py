"""The Trainer of a mixture: answers are generated together, and scored by each member's own Trainer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from trainers.contract import Evaluation, Predictions, StoredDataset, Task
from trainers.errors import UserError
from trainers.mixtures.data import MEMBER
from trainers.mixtures.metric import improvement
from trainers.text import TextRows, TextTrainer

_ALWAYS = ("prompt", "expected", "generated", "which")  # columns of examples that every text task has


class MixtureTrainer(TextTrainer):
    """Scores every member as it would be scored alone; the primary metric is their mean improvement."""

    has_baselines = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.members = {member.name: self._alone(member) for member in self.task.members}

    def _alone(self, member: Task) -> TextTrainer:
        """Return the member's Trainer with its own rows, which scores and never trains."""
        facts = self.data.fact("members", **{member.name: dict})[member.name]
        splits = {
            name: _rows_of(self.data.splits[name], member.name, facts["columns"])
            for name in self.data.splits
            if name != "train"
        }
        data = StoredDataset(self.data.path, splits, {**self.data.metadata, **facts})
        vocabulary = member.load("tokenizer")
        rows = {name: TextRows(name, table, vocabulary=vocabulary) for name, table in splits.items() if len(table)}
        trainer: type[TextTrainer] = member.load("trainer")
        if not trainer.has_baselines:
            raise UserError(f"{member.name} has no trivial answer to compare with; mix tasks that have one")
        return trainer(member, data, {"train": next(iter(rows.values())), **rows}, self.model, self.args, self.run)

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Score each member's part; metrics and predictions carry its name."""
        member_N, scored, goals = np.array(rows.table[MEMBER]), {}, {}
        for name, trainer in self.members.items():
            if not (at := np.flatnonzero(member_N == name)).size:
                continue
            trainer.state = self.state
            scored[name] = trainer.score(trainer.rows[rows.split], [answers[row] for row in at])  # pyright: ignore
            trivial = trainer.baselines(rows.split)[trainer.task.primary_metric][""]
            goals[name] = (
                scored[name].metrics[trainer.task.primary_metric],
                trivial,
                float(trainer.task.greater_is_better),
            )
        reached, trivial, perfect = zip(*goals.values(), strict=True)
        return Evaluation(
            metrics={
                **self.metric.compute(predictions=reached, references=trivial, perfect=perfect),
                **{f"{name}_{metric}": of for name, e in scored.items() for metric, of in e.metrics.items()},
            },
            samples=_samples(scored),
            predictions={name: _named(name, of) for name, e in scored.items() for of in e.predictions.values()},
            values=np.concatenate([improvement(scored[n].values, *goals[n][1:]) for n in scored]),
            figures={f"{name}_{file}": draw for name, e in scored.items() for file, draw in e.figures.items()},
        )


def _rows_of(table: Any, member: str, columns: list[str]) -> Any:
    """Return the rows of one member with its own columns."""
    return table.select(np.flatnonzero(np.array(table[MEMBER]) == member)).select_columns(columns)


def _samples(scored: Mapping[str, Evaluation]) -> dict[str, list[Any]]:
    return {column: [of for e in scored.values() for of in e.samples[column]] for column in _ALWAYS}


def _named(member: str, predictions: Predictions) -> Predictions:
    """Return the predictions with the metrics' names as the mixture reports them."""
    scores, weights = (
        {f"{member}_{metric}": values for metric, values in of.items()}
        for of in (predictions.scores, predictions.weights)
    )
    return replace(predictions, scores=scores, weights=weights)
