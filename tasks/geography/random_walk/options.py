"""What the dataset builder of `random_walk` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tasks.geography.world import WorldOptions
from trainers.options import Range, option


@dataclass
class RandomWalkOptions(WorldOptions):
    """How far a step goes, how long a walk is, how many walks."""

    radius_km: int = option(200, "longest step in km, along the great circle; it is part of the prompt")
    longest_walk: int = option(32, "target lengths, in cities, are uniform from 1 to this")
    n_train: int = option(100_000, "walks to train on")
    n_val: int = option(128, "walks to evaluate during training")
    n_test: int = option(1_000, "walks to evaluate once, at the end (0: none)")
    dataset_seed: int = option(42, "seed of the walks")

    RANGES: ClassVar[Mapping[str, Range]] = {
        **WorldOptions.RANGES,
        "radius_km": (1, 20_015),
        "longest_walk": (1, 1_000),
        "n_train": (1, None),
        "n_val": (0, None),
        "n_test": (0, None),
        "dataset_seed": (0, 2**63 - 1),
    }
