"""Do two ways between cities cross? A model learns `cross((c_1,c_2),(c_3,c_4))=false`."""

from dataclasses import replace

from tasks.geography.question_task import CHOICE_TASK

TASK = replace(
    CHOICE_TASK,
    package=__name__,
    summary="Say whether the shortest ways between two pairs of cities, known only by their numbers, cross.",
    probe_prompt="cross((c_{id},c_",
)
