"""Which two of four cities are nearest to a fifth? A model learns `nearest(c_1,(c_2,c_3,c_4,c_5))=c_4,c_2`."""

from dataclasses import replace

from tasks.geography.question_task import CITIES_TASK

TASK = replace(
    CITIES_TASK,
    package=__name__,
    summary="Name the two nearest of four cities, all known only by their numbers, the nearest one first.",
    probe_prompt="nearest(c_{id},(c_",
)
