"""The dataset of `center`: three to five cities a row, prompt `center(c_12,c_5075,c_7)=`, answer `c_7`."""

from typing import Any

import numpy as np

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

_LEAST = 0.05  # length of the mean of unit vectors below which places are spread so evenly that they have no centre


def central(shapes: Any, places: np.ndarray) -> np.ndarray:
    """Return which place is nearest to the centre of all, the direction of their mean, (N, 1) in 0…K-1."""
    centre = places.mean(axis=1)
    away = np.stack([shapes.distance(centre, places[:, at]) for at in range(places.shape[1])], axis=1)
    return away.argmin(axis=1)[:, None]


QUESTION = Question(
    prompts={size: f"center({','.join(['c_{}'] * size)})=" for size in (3, 4, 5)},
    answer=central,
    trivial=(0,),
    usable=lambda shapes, places: np.linalg.norm(places.mean(axis=1), axis=-1) > _LEAST,
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
