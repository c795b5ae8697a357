"""The `evaluate` metric of questions with a few possible answers: the share of right ones."""

import datasets
import numpy as np

from trainers.common.local_metric import LocalMetric


class ChoiceAccuracy(LocalMetric):
    """`evaluate.load("tasks/geography/choice_metric.py")` or `ChoiceAccuracy()`."""

    about = "Share of right answers to questions with a few possible ones; an answer that is none of these is wrong."
    inputs = """
Args:
    predictions: (n,) texts.
    references: (n,) texts.
    choices: the possible answers.
Returns:
    accuracy: share, 0 to 1.
    balanced_accuracy: mean over the true answers of the share that is answered rightly, 0 to 1.
    parse_rate: share of predictions that are among `choices`, 0 to 1.
"""
    columns = dict.fromkeys(("predictions", "references"), datasets.Value("string"))

    def score(self, predictions: list[str], references: list[str], choices: list[str]) -> dict[str, float]:
        predicted, true = np.asarray(predictions, object), np.asarray(references, object)
        right = predicted == true
        return {
            "accuracy": float(right.mean()),
            "balanced_accuracy": float(np.mean([right[true == choice].mean() for choice in np.unique(true)])),
            "parse_rate": float(np.isin(predicted.astype(str), choices).mean()),
        }
