"""The dataset of `triangle_area`: three cities a row, prompt `area(c_12,c_5075,c_7)=`, answer `10433`, thousand km²."""

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

QUESTION = Question(
    prompts={3: "area(c_{},c_{},c_{})="},
    answer=lambda shapes, places: shapes.triangle_area(places[:, 0], places[:, 1], places[:, 2]),
    failure=lambda shapes: shapes.LARGEST["triangle_area"],
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
