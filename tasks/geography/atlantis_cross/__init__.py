"""How far is it from an invented city to the world? Fine-tuning that asks an old map to take up a new country."""

from dataclasses import replace

from tasks.geography.atlantis_cross.options import AtlantisCrossOptions
from tasks.geography.pair_task import PAIR_TASK

TASK = replace(
    PAIR_TASK,
    package=__name__,
    summary="Give the distance between an invented city and a real or another invented one.",
    options=AtlantisCrossOptions,
)
