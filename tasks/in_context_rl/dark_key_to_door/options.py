"""What the dataset builder of `dark_key_to_door` can be asked for."""

from dataclasses import dataclass

from tasks.in_context_rl.options import HistoryOptions
from trainers.options import option


@dataclass
class DarkKeyToDoorOptions(HistoryOptions):
    """As for `darkroom`; there are 6,561 tasks, so fewer histories of each."""

    horizon: int = option(50, "steps of an episode")
    n_streams: int = option(2, "histories of every training task")
    history_steps: int = option(10_000, "steps of a history; whole episodes")
    train_share: float = option(0.95, "share of the tasks that are not held out for test")
    split_seed: int = option(4, "seed of the split into training and test tasks")
    n_val_tasks: int = option(64, "of the training tasks, so many are held out to choose the checkpoint")
    eval_streams: int = option(1, "histories of every held-out task, for loss and accuracy")
    eval_rollouts: int = option(1, "how often it does so")
