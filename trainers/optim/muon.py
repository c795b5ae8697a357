"""Muon for hidden matrices and another optimizer for all other parameters, as one optimizer for the Trainer.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") orthogonalises the momentum of a
weight matrix; embeddings, output head, norms and biases have the other optimizer. `match_rms_adamw` (Liu et al. 2025,
arXiv 2502.16982) scales its step so that one learning rate serves both optimizers.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.pytorch_utils import Conv1D

from trainers.optim.muon_by_shape import MuonByShape


class MuonWithRest(torch.optim.Optimizer):
    """Two optimizers behind one interface: shared `param_groups` (so that a scheduler moves both), one state dict."""

    def __init__(self, muon: torch.optim.Optimizer, rest: torch.optim.Optimizer) -> None:
        self.parts = (muon, rest)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self.defaults["lr"] = muon.defaults["lr"]  # a polynomial schedule reads it
        self._share_groups()

    def _share_groups(self) -> None:
        """Make groups and state the very objects of the parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        self.state.clear()
        for part in self.parts:
            self.state.update(part.state)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Step both parts."""
        if closure is not None:
            raise ValueError("MuonWithRest takes no closure: call backward() first, then step()")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both parts, by name."""
        return {"muon": self.parts[0].state_dict(), "rest": self.parts[1].state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both parts."""
        self.parts[0].load_state_dict(state_dict["muon"])
        self.parts[1].load_state_dict(state_dict["rest"])
        self._share_groups()


class MuonFactory:
    """Build the optimizer of `--muon`; `Trainer` takes it as `optimizer_cls_and_kwargs`."""

    def __call__(self, model: PreTrainedModel, trainer: Trainer) -> torch.optim.Optimizer:
        """Return Muon for the hidden matrices of `model` and the optimizer of `--optim` for all other parameters.

        One that has no parameters, as `--freeze` may leave it, is left out.
        """
        args = trainer.args
        hidden, rest = split_parameters(model)
        parts: list[torch.optim.Optimizer] = []
        if hidden:
            rate, decay = args.learning_rate, args.weight_decay
            parts.append(MuonByShape(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
        if rest:
            decays = set(trainer.get_decay_parameter_names(model))
            groups = [
                {"params": [p for n, p in rest if n in decays], "weight_decay": args.weight_decay},
                {"params": [p for n, p in rest if n not in decays], "weight_decay": 0.0},
            ]
            optimizer_class, kwargs = trainer.get_optimizer_cls_and_kwargs(args, model)
            parts.append(optimizer_class([group for group in groups if group["params"]], **kwargs))
        return MuonWithRest(*parts) if len(parts) == 2 else parts[0]


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[tuple[str, nn.Parameter]]]:
    """Return the weights of hidden linear layers (Muon's), and name and value of every other trainable parameter.

    An `nn.Linear` (or GPT-2's transposed one) is hidden if it is neither the output head nor an embedding's matrix.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    outer = {id(m.weight) for m in model.modules() if m is head or isinstance(m, nn.Embedding)}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Linear, Conv1D))} - outer
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [p for _, p in named if id(p) in linear], [(name, p) for name, p in named if id(p) not in linear]
