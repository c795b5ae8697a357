"""Task `dark_key_to_door`: reach a hidden key, then a hidden door; what the agent already has is hidden too."""

from dataclasses import dataclass, replace
from typing import ClassVar

from tasks.in_context_rl.family import FAMILY
from tasks.in_context_rl.options import HistoryOptions
from trainers.options import MAX_SEED, option


@dataclass
class DarkKeyToDoorOptions(HistoryOptions):
    """As for `darkroom`; there are 6,561 tasks, so fewer histories of each."""

    room: ClassVar[str] = "key_to_door"

    horizon: int = option(50, "steps of an episode", least=1, most=10_000)
    n_streams: int = option(2, "histories per training task", least=1)
    history_steps: int = option(10_000, "steps of a history, complete episodes", least=1)
    train_share: float = option(0.95, "share of tasks not held out for test", least=0, most=1)
    split_seed: int = option(4, "seed of the split into training and test tasks", least=0, most=MAX_SEED)
    n_val_tasks: int = option(64, "training tasks held out to choose the checkpoint", least=0)
    eval_streams: int = option(1, "histories per held-out task, for loss and accuracy", least=1)
    eval_rollouts: int = option(1, "rollouts per held-out task", least=1)


TASK = replace(
    FAMILY,
    package=__name__,
    summary="Learn in context where the key and then the door are.",
    options=DarkKeyToDoorOptions,
)
