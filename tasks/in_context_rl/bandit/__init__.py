"""Task `bandit`: find the best of several arms; evaluated on bandits with other means."""

from dataclasses import replace

from tasks.in_context_rl.family import FAMILY
from tasks.in_context_rl.options import BanditOptions

TASK = replace(
    FAMILY,
    package=__name__,
    summary="Learn in context which arm of a bandit brings most.",
    options=BanditOptions,
    small={
        "n_bandits": 16,
        "n_streams": 2,
        "history_steps": 500,
        "n_val_tasks": 2,
        "train_share": 0.8,
        "eval_episodes": 2,
    },
)
