"""The dataset of `angle`: one row per three cities, prompt `angle(c_12,c_5075,c_7)=`, answer `97`, whole degrees."""

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

QUESTION = Question(
    prompts={3: "angle(c_{},c_{},c_{})="},
    answer=lambda shapes, places: shapes.angle_deg(places[:, 0], places[:, 1], places[:, 2]),
    failure=lambda shapes: 180.0,
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
