"""The dataset of `nearest`: five cities a row, prompt `nearest(c_1,(c_2,c_3,c_4,c_5))=`, answer `c_4,c_2`."""

from typing import Any

import numpy as np

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

_NAMED = 2


def nearest(shapes: Any, places: np.ndarray) -> np.ndarray:
    """Return which of the later places are nearest to the first one, the nearest first, (N, 2) in 1…K-1."""
    away = np.stack([shapes.distance(places[:, 0], places[:, at]) for at in range(1, places.shape[1])], axis=1)
    return 1 + np.argsort(away, axis=1, kind="stable")[:, :_NAMED]


QUESTION = Question(prompts={5: "nearest(c_{},(c_{},c_{},c_{},c_{}))="}, answer=nearest, trivial=(1, 2))


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
