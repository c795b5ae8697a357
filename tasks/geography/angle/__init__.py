"""Which angle do two cities make, seen from a third? A model learns `angle(c_12,c_5075,c_7)=97`."""

from dataclasses import replace

from tasks.geography.question_task import NUMBER_TASK
from trainers.contract import SummarySpec

TASK = replace(
    NUMBER_TASK,
    package=__name__,
    summary="Give the angle at the middle one of three cities known only by their numbers.",
    probe_prompt="angle(c_{id},c_",
    plot=SummarySpec(
        label="mean absolute error (degrees)",
        value_label="absolute error of an angle (degrees)",
        limits=(0, 180),
        lines={180: "parse failed"},
    ),
)
