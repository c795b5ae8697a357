"""The Trainers of questions about cities: answers are read strictly, and scored as numbers, choices or cities."""

import numpy as np

from tasks.geography.cities_metric import overlaps
from tasks.geography.number_metric import absolute_errors
from tasks.geography.pair_trainer import masks_of_kinds
from tasks.geography.question_answers import parse_cities, parse_number
from trainers.contract import Evaluation
from trainers.text import TextRows, TextTrainer


class NumberTrainer(TextTrainer):
    """Scores numbers; rows with a column `kind` are also scored kind by kind."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Compare generated with true numbers."""
        true = np.array([float(answer) for answer in rows.table["answer"]])
        predicted = np.array([parse_number(answer) for answer in answers])
        failure = self.data.fact("question", failure=float)["failure"]
        error = absolute_errors(predicted, true, failure)
        weights = {f"abs_error_mean_{kind}": mask for kind, mask in masks_of_kinds(rows).items()}
        scores = {"abs_error_mean": error, **dict.fromkeys(weights, error), "parse_rate": ~np.isnan(predicted)}
        metrics = self.metric.compute(predictions=predicted, references=true, failure=failure)
        return Evaluation(
            metrics={**metrics, **{name: float(error[mask].mean()) for name, mask in weights.items()}},
            samples=self.samples(rows, answers, abs_error=error),
            predictions=self.predictions(rows, answers, scores, weights=weights),
            values=error,
        )


class CitiesTrainer(TextTrainer):
    """Scores answers that are cities."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Compare the cities that are named with the right ones."""
        true = rows.table["answer"][:]
        overlap = overlaps(answers, true)
        scores = {
            "jaccard_mean": overlap,
            "exact_match": np.array(answers, object) == np.array(true, object),
            "parse_rate": np.array([bool(parse_cities(answer)) for answer in answers]),
        }
        return Evaluation(
            metrics=self.metric.compute(predictions=answers, references=true),
            samples=self.samples(rows, answers, jaccard=overlap),
            predictions=self.predictions(rows, answers, scores),
            values=overlap,
        )


class ChoiceTrainer(TextTrainer):
    """Scores answers of which there are a few."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Compare generated with true answers."""
        choices = self.data.fact("question", choices=list)["choices"]
        true = rows.table["answer"][:]
        right = np.array(answers, object) == np.array(true, object)
        scores = {"accuracy": right, "parse_rate": np.isin(answers, choices)}
        return Evaluation(
            metrics=self.metric.compute(predictions=answers, references=true, choices=choices),
            samples=self.samples(rows, answers, right=right),
            predictions=self.predictions(rows, answers, scores),
            values=right.astype(float),
        )
