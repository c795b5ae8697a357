"""In which direction does the way from city to city begin? A model learns `compass(c_12,c_5075)=ne`."""

from dataclasses import replace

from tasks.geography.question_task import CHOICE_TASK

TASK = replace(
    CHOICE_TASK,
    package=__name__,
    summary="Give the direction from one city to another, both known only by their numbers.",
    probe_prompt="compass(c_{id},c_",
)
