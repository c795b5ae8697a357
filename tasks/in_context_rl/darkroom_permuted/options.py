"""What the dataset builder of `darkroom_permuted` can be asked for."""

from dataclasses import dataclass

from tasks.in_context_rl.options import HistoryOptions
from trainers.options import option


@dataclass
class DarkroomPermutedOptions(HistoryOptions):
    """As for `darkroom`; an episode is long enough to cross the room."""

    horizon: int = option(50, "steps of an episode")
    split_seed: int = option(4, "seed of the split into training and test tasks")
    n_val_tasks: int = option(12, "of the training tasks, so many are held out to choose the checkpoint")
