"""What the dataset builder of `location` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tasks.geography.world import WorldOptions
from trainers.options import Range, option


@dataclass
class LocationOptions(WorldOptions):
    """Without any option: train on every city, and evaluate on every city (memorisation)."""

    n_train: int | None = option(None, "cities to train on; default: all")
    n_val: int | None = option(None, "cities to evaluate on: held out if n_train leaves so many, else from train")
    all: bool = option(False, "train on all cities (as without n_train)")
    dataset_seed: int = option(42, "seed of the order of the rows and of the choice of cities")

    RANGES: ClassVar[Mapping[str, Range]] = {
        **WorldOptions.RANGES,
        "n_train": (1, None),
        "n_val": (1, None),
        "dataset_seed": (0, 2**63 - 1),
    }
