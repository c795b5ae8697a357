"""How far is it between two invented cities? Fine-tuning on a country that no one has seen."""

from dataclasses import dataclass, replace

from tasks.geography.pair_task import PAIR_TASK
from tasks.geography.world import AtlantisOptions
from trainers.options import option


@dataclass
class AtlantisInterOptions(AtlantisOptions):
    """Fewer pairs: there are few of two invented cities."""

    n_train: int = option(4_000, "pairs to train on", least=1)
    n_test: int = option(500, "pairs to evaluate once, at the end (0: none)", least=0)


TASK = replace(
    PAIR_TASK,
    package=__name__,
    summary="Give the distance between two invented cities.",
    options=AtlantisInterOptions,
)
