"""Muon for the hidden matrices and another optimiser for the rest, as one optimiser that a Trainer can hold.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") orthogonalises the momentum of a
weight matrix; embeddings, the output head, norms and biases are not its business. `match_rms_adamw` (Liu et al. 2025,
arXiv 2502.16982) scales its step so that one learning rate serves both optimisers.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer


class MuonWithRest(torch.optim.Optimizer):
    """Two optimisers behind one interface: shared `param_groups` (so that a scheduler moves both), one state dict."""

    def __init__(self, muon: torch.optim.Optimizer, rest: torch.optim.Optimizer) -> None:
        self.parts = (muon, rest)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        """Make this optimiser's groups and state the very objects of its parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        self.state.clear()
        for part in self.parts:
            self.state.update(part.state)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step with both parts."""
        if closure is not None:
            raise ValueError("MuonWithRest takes no closure: call backward() first, then step()")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """State of both parts, by name."""
        return {"muon": self.parts[0].state_dict(), "rest": self.parts[1].state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both parts."""
        self.parts[0].load_state_dict(state_dict["muon"])
        self.parts[1].load_state_dict(state_dict["rest"])
        self._share_groups()


class MuonFactory:
    """Build the optimiser of `--muon`; `Trainer` takes it as `optimizer_cls_and_kwargs`."""

    def __call__(self, model: "PreTrainedModel", trainer: "Trainer") -> torch.optim.Optimizer:
        """Return Muon for the hidden matrices of `model` and what `--optim` says for all other parameters.

        With `--freeze` one of the two may have nothing to do; the other is then returned alone.
        """
        args = trainer.args
        hidden, rest = split_parameters(model)
        parts: list[torch.optim.Optimizer] = []
        if hidden:
            muon = torch.optim.Muon(
                hidden, lr=args.learning_rate, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            parts.append(muon)
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

    Hidden means: the weight of an `nn.Linear` that is not the output head and shares no storage with an embedding.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    outer = [*_weights(m for m in model.modules() if isinstance(m, nn.Embedding)), *_weights([head] if head else [])]
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)} - {id(weight) for weight in outer}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [p for _, p in named if id(p) in linear], [(name, p) for name, p in named if id(p) not in linear]


def _weights(modules: Iterable[nn.Module]) -> list[torch.Tensor]:
    return [module.weight for module in modules if isinstance(module.weight, torch.Tensor)]
