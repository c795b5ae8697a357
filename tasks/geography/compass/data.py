"""The dataset of `compass`: one row per pair, prompt `compass(c_12,c_5075)=`, answer `ne`."""

import numpy as np

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

SECTORS = ("n", "ne", "e", "se", "s", "sw", "w", "nw")


def sector_of(bearing_deg: np.ndarray) -> np.ndarray:
    """Return the sector of each bearing, 45 degrees wide, the first one around north."""
    return ((bearing_deg + 22.5) // 45).astype(int) % len(SECTORS)


QUESTION = Question(
    prompts={2: "compass(c_{},c_{})="},
    answer=lambda shapes, places: sector_of(shapes.bearing_deg(places[:, 0], places[:, 1])),
    choices=SECTORS,
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
