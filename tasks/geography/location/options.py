"""What the dataset builder of `location` can be asked for."""

from dataclasses import dataclass

from tasks.geography.world import WorldOptions
from trainers.options import MAX_SEED, option


@dataclass
class LocationOptions(WorldOptions):
    """Without any option: train on every city, and evaluate on every city (memorisation)."""

    n_train: int | None = option(None, "cities to train on; default: all", least=1)
    n_val: int | None = option(
        None, "cities to evaluate on: held out if n_train leaves so many, else from train", least=1
    )
    all: bool = option(False, "train on all cities (as without n_train)")
    dataset_seed: int = option(42, "seed of the order of the rows and of the choice of cities", least=0, most=MAX_SEED)
