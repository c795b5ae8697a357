"""How far is it from an invented city to the world? Fine-tuning that asks an old map to take up a new country."""

from dataclasses import dataclass, replace

from tasks.geography.pair_task import PAIR_TASK
from tasks.geography.world import AtlantisOptions
from trainers.options import option


@dataclass
class AtlantisCrossOptions(AtlantisOptions):
    """Pairs with one invented city, and a share with two."""

    inter_ratio: float | None = option(
        None,
        "share of pairs of two invented cities in every split; default: 0.1, or as many as there are",
        least=0,
        most=1,
    )


TASK = replace(
    PAIR_TASK,
    package=__name__,
    summary="Give the distance between an invented city and a real or another invented one.",
    options=AtlantisCrossOptions,
)
