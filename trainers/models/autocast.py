"""Keep out of autocast what is slow in bfloat16, and what must be the same whatever a run was trained in."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Attend = Callable[..., torch.Tensor]


def in_float32(attend: Attend) -> Attend:
    """Return an attention (query, keys, values, …) that computes in float32 on a CPU, whatever autocast asks for.

    PyTorch's fused kernel takes three times as long in bfloat16 there, above all backwards. Other devices are left
    alone. The result has the query's type.
    """

    @functools.wraps(attend)
    def compute(
        query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        is_low = query.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if query.device.type != "cpu" or not is_low:
            return attend(query, keys, values, *args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return attend(query.float(), keys.float(), values.float(), *args, **kwargs).to(query.dtype)

    return compute


@contextlib.contextmanager
def without_autocast(model: nn.Module) -> Iterator[None]:
    """Let a model compute in the type of its weights, also where accelerate has put autocast around its `forward`.

    Generated answers and hidden states are so those of the saved model, which has no such wrapper.
    """
    wrapped = model.__dict__.pop("forward", None)
    try:
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        if wrapped is not None:
            model.__dict__["forward"] = wrapped
