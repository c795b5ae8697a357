"""How far is it in a plane? A model learns `dist(c_12,c_5075)=769`, in tenths of a degree: to reproduce its results."""

from dataclasses import replace

from tasks.geography.question_task import NUMBER_TASK
from tasks.geography.world import PlaneOptions
from trainers.contract import SummarySpec

TASK = replace(
    NUMBER_TASK,
    package=__name__,
    summary="Give the distance in a plane between two cities known only by their numbers.",
    options=PlaneOptions,
    probe_prompt="dist(c_{id},c_",
    plot=SummarySpec(
        label="mean absolute error (0.1°)",
        value_label="absolute error of a pair (0.1°)",
        limits=(0.1, 5_000),
        lines={10: "1°", 100: "10°", 1_000: "100°", 4_025: "parse failed"},
        log=True,
    ),
)
