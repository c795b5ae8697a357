"""What the dataset builder of `distance` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tasks.geography.world import WorldOptions
from trainers.options import Range, option


@dataclass
class DistanceOptions(WorldOptions):
    """How many pairs, all of them different ones."""

    n_train: int = option(1_000_000, "pairs to train on")
    n_val: int = option(128, "pairs to evaluate during training")
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)")
    dataset_seed: int = option(42, "seed of the choice and the order of the pairs")

    RANGES: ClassVar[Mapping[str, Range]] = {
        **WorldOptions.RANGES,
        "n_train": (1, None),
        "n_val": (0, None),
        "n_test": (0, None),
        "dataset_seed": (0, 2**63 - 1),
    }
