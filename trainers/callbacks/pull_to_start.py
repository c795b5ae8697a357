"""Pull weights towards where training started: a decoupled L2-SP penalty."""

from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class PullToStart(TrainerCallback):
    """After every step, moves each weight by `strength` times the learning rate towards where it started.

    That is L2-SP (Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"),
    decoupled from the gradient as AdamW decouples weight decay.
    """

    def __init__(self, network: PreTrainedModel, strength: float) -> None:
        self.strength = strength
        self.pairs = [(p, p.detach().clone()) for p in network.parameters() if p.requires_grad]

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pull, never past the start."""
        share = min(1.0, self.strength * kwargs["optimizer"].param_groups[0]["lr"])
        for weight, start in self.pairs:
            weight.lerp_(start.to(weight.device), share)
