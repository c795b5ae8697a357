"""Learning-rate schedules: one that transformers has no name for, and rates of an optimizer that was loaded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

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


def hyperparameters(optimizer: Any) -> list[dict[str, Any]]:
    """Return rate, decay and the like of every parameter group."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def set_hyperparameters(optimizer: Any, scheduler: Any, groups: Sequence[Mapping[str, Any]]) -> None:
    """Give every parameter group the hyperparameters of `groups`, and the rate that the schedule makes of them now.

    Args:
        groups: the groups of optimizer and schedule as they were built, before a checkpoint was loaded into them.
    """
    for group, built in zip(optimizer.param_groups, groups, strict=True):
        group.update({name: value for name, value in built.items() if name != "lr"})
    if not isinstance(scheduler, LambdaLR):
        return  # such as ReduceLROnPlateau, whose only rate is the last one
    scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
    for group, base, factor in zip(optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * factor(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
