"""Keep an attention out of autocast where bfloat16 is slow."""

import functools
from collections.abc import Callable
from typing import Any

import torch

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
