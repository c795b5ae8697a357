"""Define `evaluate` metrics by their texts and features as attributes, and one function that scores."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import evaluate


class LocalMetric(evaluate.Metric, ABC):
    """Used by `evaluate.load("path/of/the/file.py")`, or as a class. A subclass defines `columns` and `score`.

    It is abstract so that `evaluate.load` takes the subclass of a file that imports both.
    """

    about: ClassVar[str] = ""
    """Description of the metric."""
    inputs: ClassVar[str] = ""
    """Description of arguments and results."""
    cites: ClassVar[str] = ""
    """Source of the formula."""
    columns: ClassVar[Mapping[str, Any]]
    """Features of `predictions`, `references` and other inputs."""

    @abstractmethod
    def score(self, *inputs: Any, **named: Any) -> dict[str, float]:
        """Return the metric of at least one prediction."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.about,
            citation=self.cites,
            inputs_description=self.inputs,
            features=datasets.Features(dict(self.columns)),
        )

    def _compute(self, *, predictions: Any, **inputs: Any) -> dict[str, float]:
        if len(predictions) == 0:
            raise ValueError("no predictions: a mean over nothing is undefined; add rows before compute()")
        return self.score(predictions=predictions, **inputs)
