"""Muon that orthogonalises all matrices of one shape together: of small ones each costs a kernel's overhead alone."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import _foreach_add_, _foreach_lerp, _foreach_lerp_, _foreach_mul_  # pyright: ignore
from torch.optim._muon import _adjust_lr


class MuonByShape(torch.optim.Muon):
    """`torch.optim.Muon`: the same options and state, and the same updates up to rounding."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            weights: list[torch.Tensor] = []
            gradients: list[torch.Tensor] = []
            momenta: list[torch.Tensor] = []
            self._init_group(group, weights, gradients, momenta)
            if not weights:
                continue
            _foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            ahead = _foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
            by_shape = defaultdict(list)
            for weight, direction in zip(weights, ahead, strict=True):
                by_shape[weight.shape].append((weight, direction))
            _foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            for shape, alike in by_shape.items():
                updates = orthogonalise(torch.stack([direction for _, direction in alike]), group)
                rate = _adjust_lr(group["lr"], group["adjust_lr_fn"], shape)
                steps = [update.to(weight.dtype) for (weight, _), update in zip(alike, updates, strict=True)]
                _foreach_add_([weight for weight, _ in alike], steps, alpha=-rate)


def orthogonalise(matrices_NIJ: torch.Tensor, options: Mapping[str, Any]) -> torch.Tensor:
    """Return the nearest half-orthogonal matrices, about, by Newton-Schulz iterations in bfloat16 (Jordan et al. 2024).

    Args:
        options: `ns_coefficients`, `ns_steps` and `eps` of `torch.optim.Muon`.
    """
    a, b, c = options["ns_coefficients"]
    is_tall = matrices_NIJ.shape[1] > matrices_NIJ.shape[2]
    x = matrices_NIJ.bfloat16()
    if is_tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=options["eps"])
    for _ in range(options["ns_steps"]):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
