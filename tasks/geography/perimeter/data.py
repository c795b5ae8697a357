"""The dataset of `perimeter`: two to five cities a row, prompt `perimeter(c_12,c_5075,c_7)=`, answer `21034`, km."""

from typing import Any

import numpy as np

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset


def tour(shapes: Any, places: np.ndarray) -> np.ndarray:
    """Return the lengths of the ways from place to place in this order and back to the first; between two, one way."""
    n_legs = 1 if places.shape[1] == 2 else places.shape[1]
    legs = [shapes.distance(places[:, at], places[:, (at + 1) % places.shape[1]]) for at in range(n_legs)]
    return np.sum(legs, axis=0)


QUESTION = Question(
    prompts={size: f"perimeter({','.join(['c_{}'] * size)})=" for size in (2, 3, 4, 5)},
    answer=tour,
    failure=lambda shapes: 20_000.0,
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
