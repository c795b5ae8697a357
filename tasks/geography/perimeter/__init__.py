"""How long is the tour of two to five cities? A model learns `perimeter(c_12,c_5075,c_7)=21034`, in km."""

from dataclasses import replace

from tasks.geography.question_task import NUMBER_TASK
from trainers.contract import SummarySpec

TASK = replace(
    NUMBER_TASK,
    package=__name__,
    summary="Give the length of the closed tour of two to five cities known only by their numbers.",
    probe_prompt="perimeter(c_{id},c_",
    plot=SummarySpec(
        label="mean absolute error (km)",
        value_label="absolute error of a tour (km)",
        limits=(1, 100_000),
        lines={100: "100 km", 1_000: "1,000 km", 10_000: "10,000 km", 20_000: "parse failed"},
        log=True,
    ),
)
