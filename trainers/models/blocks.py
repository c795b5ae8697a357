"""Pre-norm transformer blocks with rotary positions in one or two dimensions, and the base of the models made of them.

The blocks are Llama's (Touvron et al. 2023) with an optional cross-attention, and LayerNorm for RMSNorm: on a CPU
PyTorch's takes a seventh of the time. Attention is PyTorch's fused one: no (L, L) mask is ever made. It has no dropout
of its own, since with it the fused kernel would not be used on a CPU.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from trainers.contract import IGNORE
from trainers.errors import UserError
from trainers.models.autocast import in_float32

Rotation = tuple[torch.Tensor, torch.Tensor]
"""cos and sin, (B or 1, 1, L, head_size / 2); the first half of a head is rotated against the second, as in Llama."""


def rotary_table(positions: list[torch.Tensor], head_size: int, base: float = 10_000.0) -> Rotation:
    """Return rotary angles (Su et al. 2021); with two positions each rotates half of the pairs (axial).

    Args:
        positions: one or two tensors (B or 1, L), in tokens.
        head_size: a multiple of twice the number of positions.
    """
    pairs = head_size // 2 // len(positions)
    frequency = base ** (-torch.arange(pairs, device=positions[0].device, dtype=torch.float32) / pairs)
    angle = torch.cat([place[..., None].float() * frequency for place in positions], dim=-1)
    return angle[:, None].cos(), angle[:, None].sin()


def apply_rotary(x: torch.Tensor, by: Rotation | None) -> torch.Tensor:
    """Rotate (B, heads, L, head_size) by its positions; None leaves it unchanged."""
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


_attend = in_float32(F.scaled_dot_product_attention)


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
        """Return keys and values of a memory, (B, heads, L, head_size) each."""
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
        mixed = _attend(query, *keys_values, attn_mask=mask, is_causal=causal)
        return self.output(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """Gated MLP (Shazeer 2020)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the MLP to each token."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Self-attention, cross-attention where there is a memory, MLP; each normed before, the residual around."""

    def __init__(
        self, hidden_size: int, n_heads: int, intermediate_size: int, dropout: float, has_memory: bool
    ) -> None:
        super().__init__()
        self.self_norm, self.self_attention = nn.LayerNorm(hidden_size, bias=False), Attention(hidden_size, n_heads)
        if has_memory:
            self.cross_norm = nn.LayerNorm(hidden_size, bias=False)
            self.cross_attention = Attention(hidden_size, n_heads)
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
        """Apply the block.

        Args:
            rotated, memory_rotated: positions of x in self- and in cross-attention.
            memory: keys and values that the cross-attention sees.
            cache: keys and values of earlier tokens; those of x are appended.
        """
        normed = self.self_norm(x_BLD)
        keys_values = self.self_attention.keys_values(normed, rotated)
        if cache is not None:
            keys_values = _append(cache, keys_values)
        x_BLD = x_BLD + self.dropout(self.self_attention(normed, keys_values, rotated, mask, causal))
        if memory is not None:
            crossed = self.cross_attention(self.cross_norm(x_BLD), memory, memory_rotated, memory_mask)
            x_BLD = x_BLD + self.dropout(crossed)
        return x_BLD + self.dropout(self.mlp(self.mlp_norm(x_BLD)))


RunBlock = Callable[..., torch.Tensor]
"""`Block.__call__`, or its forward pass compiled."""


@functools.cache
def compiled_block() -> RunBlock:
    """Return a block's forward pass compiled, once for all blocks, lengths and batch sizes.

    A mask or a memory makes another graph.
    """
    return torch.compile(Block.forward, dynamic=True)


def stack_blocks(config: Any, n_blocks: int, has_memory: bool) -> nn.ModuleList:
    """Return `n_blocks` untrained blocks of the sizes of a `SmallModel`'s config."""
    sizes = (config.hidden_size, config.num_attention_heads, config.intermediate_size, config.dropout)
    return nn.ModuleList([Block(*sizes, has_memory=has_memory) for _ in range(n_blocks)])


class SmallModel(PreTrainedModel):
    """Base of models that stack `Block`s and end in a linear `head`.

    The config has `hidden_size`, `num_attention_heads`, `intermediate_size`, `dropout` and `init_scale`.
    """

    head: nn.Linear
    compiled_rows = 0
    """Rows of the training batches whose blocks are compiled: of full ones. Others are not."""

    def block_runner(self, n_rows: int) -> RunBlock:
        """Return how the blocks of a batch of so many rows are run."""
        return compiled_block() if self.training and n_rows == self.compiled_rows else Block.__call__

    def _init_weights(self, module: nn.Module) -> None:
        init_weights(module, self.config.init_scale)

    def get_output_embeddings(self) -> nn.Linear:
        """Return the head."""
        return self.head

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.config.hidden_size // self.config.num_attention_heads

    def output(
        self,
        logits_BLV: torch.Tensor,
        labels_BL: torch.Tensor | None,
        num_items: torch.Tensor | int | None,
        weights_BL: torch.Tensor | None = None,
    ) -> CausalLMOutput:
        """Return logits and, with labels, the cross-entropy in nats per label; 0 where every label is `IGNORE`.

        Args:
            logits_BLV: for each label the logits that predict it; nothing is shifted.
            num_items: labels of all batches of a step, by which the sum is divided; None for those of this batch.
            weights_BL: factor of every label's cross-entropy; None for 1.
        """
        if labels_BL is None:
            return CausalLMOutput(logits=logits_BLV)  # pyright: ignore[reportArgumentType]
        reduction = "sum" if weights_BL is None else "none"
        total = F.cross_entropy(
            logits_BLV.flatten(0, 1).float(), labels_BL.flatten().long(), ignore_index=IGNORE, reduction=reduction
        )
        if weights_BL is not None:
            total = total @ weights_BL.flatten()
        count = torch.as_tensor((labels_BL != IGNORE).sum() if num_items is None else num_items, device=total.device)
        return CausalLMOutput(loss=total / count.clamp(min=1), logits=logits_BLV)  # pyright: ignore[reportArgumentType]


def init_weights(module: nn.Module, init_scale: float) -> None:
    """Draw a Linear or Embedding weight from Normal(0, init_scale); set biases to 0 and LayerNorm weights to 1."""
    if isinstance(module, (nn.Linear, nn.Embedding, nn.EmbeddingBag)):
        nn.init.normal_(module.weight, 0.0, init_scale)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)


def check_heads(options: Any, divisor: int = 2) -> None:
    """Refuse heads whose size is not divisible by `divisor`, twice the number of rotary positions of a token.

    Raises:
        UserError: `options.hidden_size` and `options.num_attention_heads` give such heads.
    """
    if options.hidden_size % (options.num_attention_heads * divisor):
        raise UserError(
            f"--hidden_size {options.hidden_size} with --num_attention_heads {options.num_attention_heads} gives heads"
            f" of size {options.hidden_size / options.num_attention_heads:g}; rotary positions need a multiple of"
            f" {divisor}"
        )


def _append(cache: Cache, new: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    start, end = cache.filled, cache.filled + new[0].shape[2]
    cache.keys[:, :, start:end], cache.values[:, :, start:end] = new
    cache.filled = end
    return cache.keys[:, :, :end], cache.values[:, :, :end]
