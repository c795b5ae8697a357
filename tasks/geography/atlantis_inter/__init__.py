"""How far is it between two invented cities? Fine-tuning on a country that no one has seen."""

from dataclasses import replace

from tasks.geography.atlantis_inter.options import AtlantisInterOptions
from tasks.geography.pair_task import PAIR_TASK

TASK = replace(
    PAIR_TASK,
    package=__name__,
    summary="Give the distance between two invented cities.",
    options=AtlantisInterOptions,
)
