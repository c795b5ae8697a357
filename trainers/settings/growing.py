"""Read `--grow`: the sizes of the smaller worlds that a run trains in first, and for how many steps."""

import re
from itertools import pairwise

from trainers.contract import Task
from trainers.errors import UserError
from trainers.settings.run_options import RunOptions

_STAGES = re.compile(r"\d{1,18}:\d{1,18}(,\d{1,18}:\d{1,18})*")


def check_growing(run: RunOptions, task: Task) -> None:
    """Raise a `UserError` if `--grow` cannot be read, or does not go with the task or another flag."""
    if run.grow is None:
        return
    stages_of(run.grow)
    if not task.grows:
        raise UserError(f"--grow: no part of the world of the task {task.name} is a world of its own; leave it out")
    if run.group_by_length:
        raise UserError("--grow and --group_by_length both choose the order of the rows; use one of the two")


def stages_of(grow: str) -> list[tuple[int, int]]:
    """Return the size of the world and the number of optimizer steps of every stage but the last, that of all rows.

    Raises:
        UserError: It is not written like this, a number is 0, or a world is not larger than the one before.
    """
    if not _STAGES.fullmatch(grow):
        raise UserError(
            f"--grow is {grow!r}; give SIZE:STEPS, as 800:2500, or several with commas between, as"
            " 800:1000,1600:1000 (in a YAML file in quotes, else 40:30 is a number)"
        )
    stages = [(int(size), int(steps)) for size, steps in (stage.split(":") for stage in grow.split(","))]
    if any(number == 0 for stage in stages for number in stage):
        raise UserError(f"--grow is {grow}; sizes and steps must be at least 1")
    for (before, _), (after, _) in pairwise(stages):
        if after <= before:
            raise UserError(f"--grow is {grow}; a world grows, but {after} comes after {before}; give rising sizes")
    return stages
