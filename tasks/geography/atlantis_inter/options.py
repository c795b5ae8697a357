"""What the dataset builder of `atlantis_inter` can be asked for."""

from dataclasses import dataclass

from tasks.geography.world import AtlantisOptions
from trainers.options import option


@dataclass
class AtlantisInterOptions(AtlantisOptions):
    """How many pairs of invented cities, all of them different ones."""

    n_train: int = option(4_000, "pairs to train on", least=1)
    n_val: int = option(128, "pairs to evaluate during training", least=0)
    n_test: int = option(500, "pairs to evaluate once, at the end (0: none)", least=0)
