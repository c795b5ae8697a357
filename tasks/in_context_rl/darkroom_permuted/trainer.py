"""The Trainer of `darkroom_permuted`: it predicts actions of histories, and is measured by acting."""

from tasks.in_context_rl.trainer import HistoryTrainer


class DarkroomPermutedTrainer(HistoryTrainer):
    """Acts in held-out tasks of `darkroom_permuted`."""
