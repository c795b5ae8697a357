"""Record loss and gradients of a full batch as CUDA graphs: a tiny model's step is else some hundred small launches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

LossOf = Callable[..., torch.Tensor]
"""(model, ids, labels, layout, number of labelled tokens) -> loss."""


class GraphedLoss:
    """A loss that is recorded with its gradients at the first call and replayed at every other of the same layout.

    The gradients that a replay leaves lie where it leaves them every time: they are used up before the next one.
    """

    def __init__(self, loss_of: LossOf) -> None:
        self.loss_of = loss_of
        self.recorded: Callable[..., torch.Tensor] | None = None

    def __call__(
        self, model: nn.Module, ids_BT: torch.Tensor, labels_BT: torch.Tensor, known: Any, num_items: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss; all batches have the layout of the first, but for order and places."""
        inputs = (ids_BT, labels_BT, known["order_B"], known["place_A"], known["label_A"], num_items)
        if self.recorded is None:
            static = tuple(x.clone() for x in inputs)  # a replay reads where the recording did
            device, dtype = ids_BT.device.type, torch.get_autocast_dtype(ids_BT.device.type)
            with torch.autocast(device, dtype, torch.is_autocast_enabled(device), cache_enabled=False):
                recorded = torch.cuda.make_graphed_callables(_Loss(model, known, self.loss_of), static)
            self.recorded = recorded  # pyright: ignore[reportAttributeAccessIssue]
        return self.recorded(*inputs)  # pyright: ignore[reportOptionalCall]


class _Loss(nn.Module):
    """What is recorded: tensors in, loss out; the model's parameters are this module's."""

    def __init__(self, model: nn.Module, known: Any, loss_of: LossOf) -> None:
        super().__init__()
        self.model, self.known, self.loss_of = model, known, loss_of

    def forward(
        self,
        ids_BT: torch.Tensor,
        labels_BT: torch.Tensor,
        order_B: torch.Tensor,
        place_A: torch.Tensor,
        label_A: torch.Tensor,
        num_items: torch.Tensor,
    ) -> torch.Tensor:
        known = {**self.known, "order_B": order_B, "place_A": place_A, "label_A": label_A}
        return self.loss_of(self.model, ids_BT, labels_BT, known, num_items)
