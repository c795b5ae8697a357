"""What the dataset builder of `atlantis_cross` can be asked for."""

from dataclasses import dataclass

from tasks.geography.world import AtlantisOptions
from trainers.options import option


@dataclass
class AtlantisCrossOptions(AtlantisOptions):
    """How many pairs with an invented city, all of them different ones."""

    n_train: int = option(100_000, "pairs to train on", least=1)
    n_val: int = option(128, "pairs to evaluate during training", least=0)
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)", least=0)
    inter_ratio: float | None = option(
        None,
        "share of pairs of two invented cities in every split; default: 0.1, or as many as there are",
        least=0,
        most=1,
    )
