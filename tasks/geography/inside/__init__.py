"""Does a city lie within the hull of others? A model learns `inside(c_1,(c_2,c_3,c_4))=true`."""

from dataclasses import replace

from tasks.geography.question_task import CHOICE_TASK

TASK = replace(
    CHOICE_TASK,
    package=__name__,
    summary="Say whether a city lies within the convex hull of three or four others, all known only by their numbers.",
    probe_prompt="inside(c_{id},(c_",
)
