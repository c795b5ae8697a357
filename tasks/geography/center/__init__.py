"""Which of some cities lies nearest to their centre? A model learns `center(c_12,c_5075,c_7)=c_7`."""

from dataclasses import replace

from tasks.geography.question_task import CITIES_TASK

TASK = replace(
    CITIES_TASK,
    package=__name__,
    summary="Name the one of three to five cities, known only by their numbers, that is nearest to the centre of all.",
    probe_prompt="center(c_{id},c_",
)
