"""The Trainer of `dark_key_to_door`: it predicts actions of histories, and is measured by acting."""

from tasks.in_context_rl.trainer import HistoryTrainer


class DarkKeyToDoorTrainer(HistoryTrainer):
    """Acts in held-out tasks of `dark_key_to_door`."""
