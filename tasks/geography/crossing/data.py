"""The dataset of `crossing`: one row per four cities, prompt `cross((c_1,c_2),(c_3,c_4))=`, answer `true`."""

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

QUESTION = Question(
    prompts={4: "cross((c_{},c_{}),(c_{},c_{}))="},
    answer=lambda shapes, places: shapes.crosses(places[:, 0], places[:, 1], places[:, 2], places[:, 3]),
    choices=("false", "true"),
    balanced=True,
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
