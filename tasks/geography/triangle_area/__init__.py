"""How large is the triangle of three cities? A model learns `area(c_12,c_5075,c_7)=10433`, in thousand km²."""

from dataclasses import replace

from tasks.geography.question_task import NUMBER_TASK
from trainers.contract import SummarySpec

TASK = replace(
    NUMBER_TASK,
    package=__name__,
    summary="Give the area of the triangle of three cities known only by their numbers.",
    probe_prompt="area(c_{id},c_",
    plot=SummarySpec(
        label="mean absolute error (thousand km²)",
        value_label="absolute error of a triangle (thousand km²)",
        limits=(1, 300_000),
        lines={1_000: "1 million km²", 10_000: "10 million km²", 255_032: "parse failed"},
        log=True,
    ),
)
