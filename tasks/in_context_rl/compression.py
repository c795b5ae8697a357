"""Compression of a history: one schedule for training, evaluation and acting, and the encoder of the compressed past.

The model sees at most `window` steps. When one more comes, the oldest `window - keep` leave; `compressed_ad` folds them
into its latents, `ad` forgets them. The depth of a step is the number of compressions before it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainers.models.blocks import Block, RunBlock, rotary_table, stack_blocks


@dataclass(frozen=True)
class Schedule:
    """window: steps visible at once. keep: those of them that stay when the window is full."""

    window: int
    keep: int

    @property
    def stride(self) -> int:
        """Steps that leave at once."""
        return self.window - self.keep

    def depth(self, step: int) -> int:
        """Return the depth of the step with this number, counted from 0."""
        return max(0, -(-(step + 1 - self.window) // self.stride))

    def length(self, depth: int) -> int:
        """Return the number of steps up to the last one of this depth."""
        return self.window + depth * self.stride


@dataclass(frozen=True)
class ScheduleRange:
    """Schedules of training batches: the least and the largest stride and window. A window is at least its stride."""

    strides: tuple[int, int]
    windows: tuple[int, int]

    def draw(self, u_stride: float, u_window: float) -> Schedule:
        """Return the schedule for two numbers from [0, 1): every stride alike, and every window that it leaves."""
        stride = _between(*self.strides, u_stride)
        window = _between(max(self.windows[0], stride), self.windows[1], u_window)
        return Schedule(window, window - stride)

    @property
    def largest(self) -> Schedule:
        """The schedule with the longest stretches."""
        return Schedule(self.windows[1], self.windows[1] - self.strides[1])


class CompressionEncoder(nn.Module):
    """Fold consecutive steps and the latents before them into new latents.

    Learned queries attend to one another and to what is folded (the Q-Former of Li et al. 2023, "BLIP-2"); with a gate
    each latent is replaced by a learned share only.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        size = config.hidden_size
        self.head_size = size // config.num_attention_heads
        self.queries, self.slots = nn.Embedding(config.n_latents, size), nn.Embedding(config.n_latents, size)
        self.input_norm = nn.LayerNorm(size, bias=False)
        self.blocks = stack_blocks(config, config.num_encoder_layers, has_memory=True)
        self.output_norm = nn.LayerNorm(size, bias=False)
        self.gate = nn.Linear(2 * size, size) if config.gated else None

    def placed(self, latents_BMD: torch.Tensor) -> torch.Tensor:
        """Add the embedding of each latent's number."""
        return latents_BMD + self.slots.weight

    def forward(
        self, segment_BSD: torch.Tensor, latents_BMD: torch.Tensor | None, run: RunBlock = Block.__call__
    ) -> torch.Tensor:
        """Return the new latents (B, M, hidden_size); None stands before the first ones.

        Args:
            run: how a block is run; compiled, it has a graph of its own for rows that share their memory.
        """
        past = segment_BSD if latents_BMD is None else torch.cat([self.placed(latents_BMD), segment_BSD], dim=1)
        past, hidden = self.input_norm(past), self.queries.weight.repeat(len(past), 1, 1)  # no expand: see `run`
        # Places count back from the end, where the queries stand, whether or not latents come first.
        place = torch.arange(-past.shape[1], 1, device=past.device)[None]
        at_past, at_end = rotary_table([place[:, :-1]], self.head_size), rotary_table([place[:, -1:]], self.head_size)
        for block in self.blocks:
            memory = block.cross_attention.keys_values(past, at_past)  # pyright: ignore
            hidden = run(block, hidden, None, memory=memory, memory_rotated=at_end)
        new_BMD = self.output_norm(hidden)
        if self.gate is None or latents_BMD is None:
            return new_BMD
        share = torch.sigmoid(self.gate(torch.cat([latents_BMD, new_BMD], dim=-1)))
        return latents_BMD + share * (new_BMD - latents_BMD)


def read_range(text: str) -> tuple[int, int]:
    """Read LEAST:MOST.

    Raises:
        ValueError: it is not that.
    """
    least, most = (int(part) for part in text.split(":"))
    if not 1 <= least <= most:
        raise ValueError("the first is at least 1, and at most the second")
    return least, most


def _between(least: int, most: int, u: float) -> int:
    return least + int(u * (most - least + 1))
