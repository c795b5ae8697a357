"""Sequences of different lengths in one tensor: encoded by groups of like length, masked, moved together."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_TOGETHER = 16  # sequences: fewer leave less padding, and more calls

Group = tuple[torch.Tensor, int]
"""Numbers of rows, and the number of tokens of the longest."""


def groups_by_length(real_BL: torch.Tensor) -> list[Group]:
    """Return groups of rows of like length on a CPU, all rows elsewhere; padding is on the right."""
    length_B = real_BL.sum(dim=1)
    order_B = length_B.argsort(stable=True)
    groups = order_B.split(_TOGETHER if real_BL.device.type == "cpu" else len(order_B))
    return [(rows, int(length_B[rows].max())) for rows in groups]


def rejoin(parts: Sequence[torch.Tensor], groups: Sequence[Group]) -> torch.Tensor:
    """Return all rows in their order, (B, L, …), from those of each group, zeros on the right."""
    longest = max(part.shape[1] for part in parts)
    padded = [F.pad(part, (0, 0) * (part.dim() - 2) + (0, longest - part.shape[1])) for part in parts]
    return torch.cat(padded)[torch.cat([rows for rows, _ in groups]).argsort()]


def spread(part_CX: torch.Tensor, there_N: torch.Tensor) -> torch.Tensor:
    """Return N rows of which C are there (bool), zeros in place of the others."""
    if len(part_CX) == len(there_N):
        return part_CX
    whole = part_CX.new_zeros((len(there_N), *part_CX.shape[1:]))
    whole[there_N] = part_CX
    return whole


def without_gaps(
    states_BLD: torch.Tensor, real_BL: torch.Tensor, places: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Move all padding to the right, and drop what the longest row does not need."""
    length = int(real_BL.sum(dim=1).max())
    order_BL = real_BL.int().argsort(dim=1, descending=True, stable=True)[:, :length]
    states_BLD = states_BLD.gather(1, order_BL[..., None].expand(-1, -1, states_BLD.shape[2]))
    return states_BLD, real_BL.gather(1, order_BL), [place.gather(1, order_BL) for place in places]


def mask_of(real_BL: torch.Tensor) -> torch.Tensor | None:
    """Return the attention mask (B, 1, 1, L); None where nothing is padded, which is faster."""
    return None if bool(real_BL.all()) else real_BL[:, None, None]
