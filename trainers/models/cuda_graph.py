"""Replay loss and gradients of a full batch as one CUDA graph: a tiny model's step is hundreds of launches else."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import _foreach_mul, nn  # pyright: ignore[reportPrivateImportUsage]

LossOf = Callable[..., torch.Tensor]
"""(model, ids, labels, layout, number of labelled tokens) -> loss."""

_WARM_UP = 3  # passes before the recording, in which libraries choose their kernels and take their memory


class GraphedLoss:
    """A loss that is recorded with its gradients at the first call, and replayed at every one of the same layout."""

    def __init__(self, loss_of: LossOf) -> None:
        self.loss_of = loss_of
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self, model: nn.Module, ids_BT: torch.Tensor, labels_BT: torch.Tensor, known: Any, num_items: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss; all batches have the layout of the first: in its tensors alone they may differ."""
        inputs = {"ids_BT": ids_BT, "labels_BT": labels_BT, "num_items": num_items}
        inputs |= {name: value for name, value in known.items() if isinstance(value, torch.Tensor)}
        if self.graph is None:
            self._record(model, inputs, known)
        for name, value in inputs.items():
            self.inputs[name].copy_(value, non_blocking=True)
        return _Replay.apply(self, *self.weights)  # pyright: ignore[reportReturnType]

    def _record(self, model: nn.Module, inputs: Mapping[str, torch.Tensor], known: Any) -> None:
        """Record the pass on memory of its own, which every replay reads and fills again."""
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.inputs = {name: value.clone() for name, value in inputs.items()}
        ids_BT, labels_BT, num_items = (self.inputs[name] for name in ("ids_BT", "labels_BT", "num_items"))
        layout = {name: self.inputs.get(name, value) for name, value in known.items()}
        device, dtype = ids_BT.device.type, torch.get_autocast_dtype(ids_BT.device.type)

        def compute() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            # Without a cache of cast weights: a replay casts them as they are then.
            with torch.autocast(device, dtype, torch.is_autocast_enabled(device), cache_enabled=False):
                loss = self.loss_of(model, ids_BT, labels_BT, layout, num_items)
            return loss.detach(), torch.autograd.grad(loss, self.weights)

        with torch.enable_grad():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    compute()
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.loss, self.gradients = compute()


class _Replay(torch.autograd.Function):
    """Loss and gradients of one replay, as autograd sees them."""

    @staticmethod
    def forward(ctx: Any, graphed: GraphedLoss, *weights: torch.Tensor) -> torch.Tensor:
        assert graphed.graph is not None
        graphed.graph.replay()
        ctx.graphed = graphed
        return graphed.loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore
        return None, *_foreach_mul(ctx.graphed.gradients, outer[0])
