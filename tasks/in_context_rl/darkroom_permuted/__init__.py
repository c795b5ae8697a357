"""Task `darkroom_permuted`: walk from corner to corner with actions in an unknown order."""

from dataclasses import dataclass, replace
from typing import ClassVar

from tasks.in_context_rl.family import FAMILY
from tasks.in_context_rl.options import HistoryOptions
from trainers.options import MAX_SEED, option


@dataclass
class DarkroomPermutedOptions(HistoryOptions):
    """As for `darkroom`; an episode is long enough to cross the room."""

    room: ClassVar[str] = "permuted_darkroom"

    horizon: int = option(50, "steps of an episode", least=1, most=10_000)
    split_seed: int = option(4, "seed of the split into training and test tasks", least=0, most=MAX_SEED)
    n_val_tasks: int = option(12, "training tasks held out to choose the checkpoint", least=0)


TASK = replace(
    FAMILY, package=__name__, summary="Learn in context what each action does.", options=DarkroomPermutedOptions
)
