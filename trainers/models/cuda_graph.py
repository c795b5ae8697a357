"""Replay loss and gradients of a full batch as CUDA graphs: the step of a tiny model is hundreds of launches else."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

LossOf = Callable[..., torch.Tensor]
"""(model, ids, labels, layout, number of labelled tokens) -> loss."""


class GraphedLoss:
    """A loss that is recorded with its gradients at the first call, and replayed at every one of the same layout.

    Until then no loss of the model may wait for its gradients. Those of a replay lie where the next one puts its own,
    so that they cannot be added up over several batches.
    """

    def __init__(self, loss_of: LossOf) -> None:
        self.loss_of = loss_of
        self.recorded: Callable[..., torch.Tensor] | None = None

    def __call__(
        self, model: nn.Module, ids_BT: torch.Tensor, labels_BT: torch.Tensor, known: Any, num_items: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss; all batches have the layout of the first: in its tensors alone they may differ."""
        names = [name for name, value in known.items() if isinstance(value, torch.Tensor)]
        inputs = (ids_BT, labels_BT, num_items, *(known[name] for name in names))
        if self.recorded is None:
            self.recorded = _record(_Loss(model, known, names, self.loss_of), inputs)
        return self.recorded(*inputs)


def _record(loss: "_Loss", inputs: tuple[torch.Tensor, ...]) -> Callable[..., torch.Tensor]:
    """Return the loss as a replay, which reads its inputs where copies of these lie."""
    device = inputs[0].device.type
    dtype, is_cast = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    # The recording keeps nodes of autograd alive that belong to the stream it was made on; nothing else uses that.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with torch.autocast(device, dtype, is_cast, cache_enabled=False):  # a replay casts the weights as they are then
        return torch.cuda.make_graphed_callables(loss, tuple(x.clone() for x in inputs))  # pyright: ignore


class _Loss(nn.Module):
    """What is recorded: tensors in, loss out; the model's parameters are this module's."""

    def __init__(self, model: nn.Module, known: Mapping[str, Any], names: list[str], loss_of: LossOf) -> None:
        super().__init__()
        self.model, self.known, self.names, self.loss_of = model, known, names, loss_of

    def forward(
        self, ids_BT: torch.Tensor, labels_BT: torch.Tensor, num_items: torch.Tensor, *tensors: torch.Tensor
    ) -> torch.Tensor:
        known = {**self.known, **dict(zip(self.names, tensors, strict=True))}
        return self.loss_of(self.model, ids_BT, labels_BT, known, num_items)
