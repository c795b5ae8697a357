"""Transformer blocks of the models built here: pre-norm, SwiGLU, no biases, rotary positions in one or two dimensions.

They are Llama's blocks (Touvron et al. 2023) with, where asked for, a cross-attention in the middle, and LayerNorm for
RMSNorm: on a CPU PyTorch's takes a seventh of the time. Attention is PyTorch's fused one: no (L, L) mask is ever made.
It has no dropout of its own, since with it the fused kernel would not be used on a CPU.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Rotation = tuple[torch.Tensor, torch.Tensor]
"""cos and sin, (B or 1, 1, L, head_size / 2): the first half of a head is turned against the second, as in Llama."""


def rotary_table(positions: list[torch.Tensor], head_size: int, base: float = 10_000.0) -> Rotation:
    """Rotary angles (Su et al. 2021); with two positions each turns half of the pairs (axial).

    Arguments:
        positions: one or two tensors (B or 1, L), in tokens.
        head_size: a multiple of twice the number of positions.
    """
    pairs = head_size // 2 // len(positions)
    frequency = base ** (-torch.arange(pairs, device=positions[0].device, dtype=torch.float32) / pairs)
    angle = torch.cat([place[..., None].float() * frequency for place in positions], dim=-1)
    return angle[:, None].cos(), angle[:, None].sin()


def apply_rotary(x: torch.Tensor, by: Rotation | None) -> torch.Tensor:
    """Turn (B, heads, L, head_size) by its positions; None leaves it as it is."""
    if by is None:
        return x
    cos, sin = (part.to(x.dtype) for part in by)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


@dataclass
class Cache:
    """Keys and values of one attention during generation, (B, heads, capacity, head_size); `filled` are valid."""

    keys: torch.Tensor
    values: torch.Tensor
    filled: int = 0


class Attention(nn.Module):
    """Multi-head attention, of a sequence to itself or to a memory."""

    def __init__(self, hidden_size: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.value = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)

    def _heads(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def keys_values(self, x_BLD: torch.Tensor, rotated: Rotation | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a memory, (B, heads, L, head_size) each."""
        return apply_rotary(self._heads(self.key(x_BLD)), rotated), self._heads(self.value(x_BLD))

    def forward(
        self,
        x_BLD: torch.Tensor,
        keys_values: tuple[torch.Tensor, torch.Tensor],
        rotated: Rotation | None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """Attend from x to the keys; `mask` is (B, 1, 1 or L, keys), True where attention is allowed."""
        query = apply_rotary(self._heads(self.query(x_BLD)), rotated)
        mixed = F.scaled_dot_product_attention(query, *keys_values, attn_mask=mask, is_causal=causal)
        return self.output(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """The gated MLP (Shazeer 2020)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Per token."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Self-attention, cross-attention where there is a memory, MLP; each normed before, the residual around."""

    def __init__(
        self, hidden_size: int, n_heads: int, intermediate_size: int, dropout: float, has_memory: bool
    ) -> None:
        super().__init__()
        self.self_norm, self.self_attention = nn.LayerNorm(hidden_size, bias=False), Attention(hidden_size, n_heads)
        if has_memory:
            self.cross_norm, self.cross_attention = (
                nn.LayerNorm(hidden_size, bias=False),
                Attention(hidden_size, n_heads),
            )
        self.mlp_norm, self.mlp = nn.LayerNorm(hidden_size, bias=False), SwiGLU(hidden_size, intermediate_size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_BLD: torch.Tensor,
        rotated: Rotation | None,
        mask: torch.Tensor | None = None,
        causal: bool = False,
        memory: tuple[torch.Tensor, torch.Tensor] | None = None,
        memory_rotated: Rotation | None = None,
        memory_mask: torch.Tensor | None = None,
        cache: Cache | None = None,
    ) -> torch.Tensor:
        """One block.

        Arguments:
            rotated, memory_rotated: positions of x in self- and in cross-attention.
            memory: keys and values that the cross-attention sees.
            cache: earlier tokens' keys and values; those of x are added to it.
        """
        normed = self.self_norm(x_BLD)
        keys_values = self.self_attention.keys_values(normed, rotated)
        if cache is not None:
            keys_values = _extended(cache, keys_values)
        x_BLD = x_BLD + self.dropout(self.self_attention(normed, keys_values, rotated, mask, causal))
        if memory is not None:
            crossed = self.cross_attention(self.cross_norm(x_BLD), memory, memory_rotated, memory_mask)
            x_BLD = x_BLD + self.dropout(crossed)
        return x_BLD + self.dropout(self.mlp(self.mlp_norm(x_BLD)))


def _extended(cache: Cache, new: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    start, end = cache.filled, cache.filled + new[0].shape[2]
    cache.keys[:, :, start:end], cache.values[:, :, start:end] = new
    cache.filled = end
    return cache.keys[:, :, :end], cache.values[:, :, :end]
