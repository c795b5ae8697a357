"""What the dataset builder of `distance` can be asked for."""

from dataclasses import dataclass

from tasks.geography.world import WorldOptions
from trainers.options import MAX_SEED, option


@dataclass
class DistanceOptions(WorldOptions):
    """How many pairs, all of them different ones."""

    n_train: int = option(1_000_000, "pairs to train on", least=1)
    n_val: int = option(128, "pairs to evaluate during training", least=0)
    n_test: int = option(10_000, "pairs to evaluate once, at the end (0: none)", least=0)
    dataset_seed: int = option(42, "seed of the choice and the order of the pairs", least=0, most=MAX_SEED)
