"""What the dataset builder of `atlantis_cross` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tasks.geography.atlantis import AtlantisOptions
from trainers.options import Range, option


@dataclass
class AtlantisCrossOptions(AtlantisOptions):
    """How many pairs with an invented city, all of them different ones."""

    n_train: int = option(100_000, "pairs to train on")
    n_val: int = option(128, "pairs to evaluate during training")
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)")
    inter_ratio: float | None = option(
        None, "share of pairs of two invented cities in every split; default: 0.1, or as many as there are"
    )

    RANGES: ClassVar[Mapping[str, Range]] = {
        **AtlantisOptions.RANGES,
        "n_train": (1, None),
        "n_val": (0, None),
        "n_test": (0, None),
        "inter_ratio": (0, 1),
    }
