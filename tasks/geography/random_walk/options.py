"""What the dataset builder of `random_walk` can be asked for."""

from dataclasses import dataclass

from tasks.geography.world import WorldOptions
from trainers.options import MAX_SEED, option


@dataclass
class RandomWalkOptions(WorldOptions):
    """How far a step goes, how long a walk is, how many walks."""

    radius_km: int = option(
        200, "longest step in km, along the great circle; it is part of the prompt", least=1, most=20_015
    )
    longest_walk: int = option(32, "target lengths, in cities, are uniform from 1 to this", least=1, most=1_000)
    n_train: int = option(100_000, "walks to train on", least=1)
    n_val: int = option(128, "walks to evaluate during training", least=0)
    n_test: int = option(1_000, "walks to evaluate once, at the end (0: none)", least=0)
    dataset_seed: int = option(42, "seed of the walks", least=0, most=MAX_SEED)
