"""Models that learn to act from what they have done: algorithm distillation, plain and with a compressed past.

ad             one causal decoder over the newest steps (Laskin et al. 2022)
compressed_ad  older steps are folded, again and again, into a few latents that stand in front of the newest ones

from tasks.in_context_rl.model import HistoryModel; HistoryModel.from_pretrained("outputs/runs/darkroom-001")
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutput

from tasks.in_context_rl.compression import Schedule
from tasks.in_context_rl.encoding import field_sizes
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.rooms import N_ACTIONS
from trainers.models.blocks import Cache, SmallModel, rotary_table, stack_blocks


class HistoryConfig(PreTrainedConfig, HistoryModelOptions):
    """Sizes of a `HistoryModel`: the fields of `HistoryModelOptions`, and the size of the room."""

    model_type = "in_context_rl"
    size: int = 9
    depth_weights: str = "0:1"
    tie_word_embeddings: bool = False

    @property
    def schedule(self) -> Schedule:
        """When a history is compressed."""
        return Schedule(self.window, self.keep)

    def depths(self) -> tuple[np.ndarray, np.ndarray]:
        """Depths of training batches, and how likely each is.

        Raises:
            ValueError: `depth_weights` cannot be read.
        """
        pairs = [part.split(":") for part in self.depth_weights.split(",")]
        depth_D, weight_D = np.array([int(depth) for depth, _ in pairs]), np.array([float(w) for _, w in pairs])
        if depth_D.min() < 0 or len(np.unique(depth_D)) < len(depth_D):
            raise ValueError("depths are different whole numbers from 0 on")
        if not (weight_D > 0).all() or not math.isfinite(float(weight_D.sum())):
            raise ValueError("weights are above 0")
        return depth_D, weight_D / weight_D.sum()


class HistoryModel(SmallModel):
    """Both models: `ad` is the one without latents.

    `steps` (B, T, 7) are consecutive steps of B histories, as `in_context_rl.encoding.encode` writes them; `labels`
    (B, T) the actions taken, `IGNORE` where the loss should not look. Both models go by the schedule, so that acting
    step by step gives the same logits.
    """

    config_class = HistoryConfig
    main_input_name = "labels"  # one element per step; `steps` has seven

    def __init__(self, config: HistoryConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.schedule = config.schedule
        self.n_latents = config.n_latents if config.architecture == "compressed_ad" else 0
        self.embedding = nn.EmbeddingBag(sum(field_sizes(config.size)), size, mode="sum")
        self.embedding_norm = nn.LayerNorm(size, bias=False)
        self.encoder = CompressionEncoder(config) if self.n_latents else None
        self.input_norm = nn.LayerNorm(size, bias=False)
        self.decoder = stack_blocks(config, config.num_hidden_layers, has_memory=False)
        self.final_norm = nn.LayerNorm(size, bias=False)
        self.head = nn.Linear(size, N_ACTIONS, bias=False)
        self.post_init()

    def forward(
        self,
        steps: torch.Tensor,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """All steps at once. The loss is the mean over the labels; 0 where there are none."""
        return self.output(self.head(self.read(self.embed(steps))), labels, num_items_in_batch)

    def embed(self, steps: torch.Tensor) -> torch.Tensor:
        """Steps (B, T, 7) as vectors (B, T, hidden_size)."""
        return self.embedding_norm(self.embedding(steps.flatten(0, 1)).unflatten(0, steps.shape[:2]))

    def read(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Hidden states (B, T, hidden_size) of embedded steps: every window at once, behind the latents of its past."""
        window, stride, length = self.schedule.window, self.schedule.stride, x_BTD.shape[1]
        depth = self.schedule.depth(length - 1)
        first = self.decode(x_BTD[:, :window], None)
        if depth == 0:
            return first
        missing = self.schedule.length(depth) - length  # a last window that is not full: later steps change nothing
        windows = F.pad(x_BTD, (0, 0, 0, missing)).unfold(1, window, stride)[:, 1:].transpose(2, 3)
        latents = self.compressed(x_BTD[:, : depth * stride])
        found = self.decode(windows.flatten(0, 1), None if latents is None else latents.flatten(0, 1))
        new = found[:, self.schedule.keep :].unflatten(0, (len(x_BTD), depth)).flatten(1, 2)
        return torch.cat([first, new], dim=1)[:, :length]

    def compressed(self, x_BTD: torch.Tensor) -> torch.Tensor | None:
        """The latents (B, depth, n_latents, hidden_size) after every stride of the embedded steps; None for `ad`."""
        if self.encoder is None:
            return None
        latents, found = None, []
        for segment in x_BTD.split(self.schedule.stride, dim=1):
            latents = self.encoder(segment, latents)
            found.append(latents)
        return torch.stack(found, dim=1)

    def decode(
        self,
        x_BWD: torch.Tensor,
        latents_BMD: torch.Tensor | None,
        caches: list[Cache] | None = None,
        n_cached: int = 0,
    ) -> torch.Tensor:
        """Hidden states of the steps of one window: latents see one another, steps the latents and no later step.

        Arguments:
            x_BWD: embedded steps. latents_BMD: what stands in front of them.
            caches: during acting, of each block; they hold the latents and the first `n_cached` steps already.
        """
        n_before = 0 if latents_BMD is None else latents_BMD.shape[1]
        place = torch.arange(-n_before, x_BWD.shape[1], device=x_BWD.device) + self.n_latents + n_cached
        hidden = x_BWD
        if latents_BMD is not None and self.encoder is not None:
            hidden = torch.cat([self.encoder.placed(latents_BMD), hidden], dim=1)
        hidden, rotated = self.input_norm(hidden), rotary_table([place[None]], self.head_size)
        mask = hybrid_mask(n_before, x_BWD.shape[1], x_BWD.device) if n_before else None
        for number, block in enumerate(self.decoder):
            cache = None if caches is None else caches[number]
            hidden = block(hidden, rotated, mask=mask, causal=mask is None and x_BWD.shape[1] > 1, cache=cache)
        return self.final_norm(hidden)[:, n_before:]


class CompressionEncoder(nn.Module):
    """Folds a stretch of steps and the latents before it into new latents.

    Learned queries look at one another and at what is to be folded (the Q-Former of Li et al. 2023, "BLIP-2"); with a
    gate each latent keeps what the new one does not replace.
    """

    def __init__(self, config: HistoryConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.head_size = size // config.num_attention_heads
        self.queries, self.slots = nn.Embedding(config.n_latents, size), nn.Embedding(config.n_latents, size)
        self.input_norm = nn.LayerNorm(size, bias=False)
        self.blocks = stack_blocks(config, config.num_encoder_layers, has_memory=True)
        self.output_norm = nn.LayerNorm(size, bias=False)
        self.gate = nn.Linear(2 * size, size) if config.gated else None

    def placed(self, latents_BMD: torch.Tensor) -> torch.Tensor:
        """Latents that say which one each is."""
        return latents_BMD + self.slots.weight

    def forward(self, segment_BSD: torch.Tensor, latents_BMD: torch.Tensor | None) -> torch.Tensor:
        """The new latents (B, M, hidden_size); the first ones have none before them."""
        past = segment_BSD if latents_BMD is None else torch.cat([self.placed(latents_BMD), segment_BSD], dim=1)
        past, hidden = self.input_norm(past), self.queries.weight.expand(len(past), -1, -1)
        # Places count back from the end, where the queries stand, whether or not latents come first.
        place = torch.arange(-past.shape[1], 1, device=past.device)[None]
        at_past, at_end = rotary_table([place[:, :-1]], self.head_size), rotary_table([place[:, -1:]], self.head_size)
        for block in self.blocks:
            memory = block.cross_attention.keys_values(past, at_past)  # pyright: ignore
            hidden = block(hidden, None, memory=memory, memory_rotated=at_end)
        new_BMD = self.output_norm(hidden)
        if self.gate is None or latents_BMD is None:
            return new_BMD
        share = torch.sigmoid(self.gate(torch.cat([latents_BMD, new_BMD], dim=-1)))
        return latents_BMD + share * (new_BMD - latents_BMD)


def hybrid_mask(n_latents: int, n_steps: int, device: torch.device) -> torch.Tensor:
    """Which place may see which, (1, 1, L, L): latents one another, steps the latents and no later step."""
    place = torch.arange(n_latents + n_steps, device=device)
    return (place[None] <= place[:, None].clamp(min=n_latents - 1))[None, None]


AutoConfig.register(HistoryConfig.model_type, HistoryConfig)
AutoModel.register(HistoryConfig, HistoryModel)
