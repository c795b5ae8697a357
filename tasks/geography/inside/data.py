"""The dataset of `inside`: four or five cities a row, prompt `inside(c_1,(c_2,c_3,c_4))=`, answer `true`."""

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import QuestionOptions
from trainers.contract import BuiltDataset

QUESTION = Question(
    prompts={n + 1: f"inside(c_{{}},({','.join(['c_{}'] * n)}))=" for n in (3, 4)},
    answer=lambda shapes, places: shapes.encloses(places[:, 1:], places[:, 0]),
    choices=("false", "true"),
    balanced=True,
    usable=lambda shapes, places: shapes.has_hull(places[:, 1:]),
)


def build(options: QuestionOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`)."""
    return build_questions(options, QUESTION)
