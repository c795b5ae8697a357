"""The dataset of `plane_distance`: one row per pair, prompt `dist(c_12,c_5075)=`, answer `769`, tenths of a degree."""

from tasks.geography.question_sets import Question
from tasks.geography.questions import build_questions
from tasks.geography.world import PlaneOptions
from trainers.contract import BuiltDataset
from trainers.errors import UserError

QUESTION = Question(
    prompts={2: "dist(c_{},c_{})="},
    answer=lambda shapes, places: shapes.distance(places[:, 0], places[:, 1]),
    failure=lambda shapes: shapes.LARGEST["distance"],
)


def build(options: PlaneOptions) -> BuiltDataset:
    """Build the rows (see `build_questions`).

    Raises:
        UserError: in a mixture, the world of the other questions is round.
    """
    if options.geometry != "plane":
        raise UserError(f"plane_distance is for --geometry plane, and it is {options.geometry}; take distance instead")
    return build_questions(options, QUESTION)
