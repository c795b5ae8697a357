"""What the dataset builder of `atlantis_inter` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tasks.geography.atlantis import AtlantisOptions
from trainers.options import Range, option


@dataclass
class AtlantisInterOptions(AtlantisOptions):
    """How many pairs of invented cities, all of them different ones."""

    n_train: int = option(4_000, "pairs to train on")
    n_val: int = option(128, "pairs to evaluate during training")
    n_test: int = option(500, "pairs to evaluate once, at the end (0: none)")

    RANGES: ClassVar[Mapping[str, Range]] = {
        **AtlantisOptions.RANGES,
        "n_train": (1, None),
        "n_val": (0, None),
        "n_test": (0, None),
    }
