"""A learning-rate schedule that transformers has no name for."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR


def warm_restarts(
    optimizer: torch.optim.Optimizer, learning_rate: float, least: float, epochs: float, steps_per_epoch: int
) -> LambdaLR:
    """Return a cosine from `learning_rate` towards `least`, restarted every `epochs` epochs, constant within an epoch.

    It is `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts` stepped once an epoch (Loshchilov & Hutter 2017): with
    6 epochs the rate takes six values, and never `least` itself.
    """

    def factor(step: int) -> float:
        turn = math.pi * ((step // steps_per_epoch) % epochs) / epochs
        return (least + (learning_rate - least) * (1 + math.cos(turn)) / 2) / learning_rate

    return LambdaLR(optimizer, factor)
