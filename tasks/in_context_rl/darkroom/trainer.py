"""The Trainer of `darkroom`: it predicts actions of histories, and is measured by acting."""

from tasks.in_context_rl.trainer import HistoryTrainer


class DarkroomTrainer(HistoryTrainer):
    """Acts in held-out tasks of `darkroom`."""
