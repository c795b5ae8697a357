"""Algorithm distillation: a decoder over a history of steps, plain or with a compressed past.

ad             one causal decoder over the newest steps (Laskin et al. 2022)
compressed_ad  older steps are folded repeatedly into a few latents, which precede the newest ones
dpt            as ad, but it predicts the optimal action in the agent's cell, not the one that the source took there
               (decision-pretrained transformer, Lee et al. 2023): every step is a query after the steps before it

from tasks.in_context_rl.model import HistoryModel; HistoryModel.from_pretrained("outputs/runs/darkroom-001")
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.modeling_outputs import CausalLMOutput

from tasks.in_context_rl.compression import CompressionEncoder, Schedule
from tasks.in_context_rl.config import HistoryConfig
from tasks.in_context_rl.histories import room_of
from tasks.in_context_rl.options import HistoryModelOptions
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.models.blocks import Block, Cache, RunBlock, SmallModel, check_heads, rotary_table, stack_blocks

_DEPTH_WEIGHTS = {"ad": "0:1", "compressed_ad": "0:1,1:2,2:3,3:4", "dpt": "0:1"}
_WEIGHTS = _DEPTH_WEIGHTS["compressed_ad"]


class HistoryModel(SmallModel):
    """All three models; only `compressed_ad` has latents. Acting step by step by the schedule gives the same logits."""

    config_class = HistoryConfig
    main_input_name = "labels"  # one element per step; `steps` has seven

    def __init__(self, config: HistoryConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.schedule = config.schedule
        self.n_latents = config.n_latents if config.architecture == "compressed_ad" else 0
        self.embedding = nn.EmbeddingBag(sum(config.field_sizes), size, mode="sum")
        self.embedding_norm = nn.LayerNorm(size, bias=False)
        self.encoder = CompressionEncoder(config) if self.n_latents else None
        self.input_norm = nn.LayerNorm(size, bias=False)
        self.decoder = stack_blocks(config, config.num_hidden_layers, has_memory=False)
        self.final_norm = nn.LayerNorm(size, bias=False)
        self.head = nn.Linear(size, config.n_actions, bias=False)
        self.post_init()

    def forward(
        self,
        steps: torch.Tensor,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        weights: torch.Tensor | None = None,
        window: int | None = None,
        keep: int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Return the loss in nats per action and logits (B, T, n_actions) of all steps at once.

        Args:
            steps: (B, T, 7), consecutive steps of B histories, see `encoding.encode`.
            labels: (B, T), the actions taken (`dpt`: optimal ones), `IGNORE` where they are not trained on.
            weights: (B, T), of the loss of every action; None for 1.
            window, keep: another schedule than the model's own.
        """
        schedule = self.schedule if window is None or keep is None else Schedule(window, keep)
        hidden = self.read(self.embed(steps), self.block_runner(len(steps)), schedule)
        return self.output(self.head(hidden), labels, num_items_in_batch, weights)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if self.config.init == "xavier" and isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        if self.config.init == "truncated_normal" and isinstance(module, nn.Linear | nn.Embedding | nn.EmbeddingBag):
            with torch.no_grad():
                nn.init.trunc_normal_(module.weight).mul_(self.config.init_scale)

    @property
    def worth_compiling_flop(self) -> float:
        """Work of a run, 6 x parameters x steps that it reads, from which compiling surely pays.

        On an AMD EPYC it takes 30 s, of the four graphs of `compressed_ad` 71 s, won back after some 11 and 16
        TFLOP (`python -m tasks.bench.precision --config darkroom`).
        """
        return 15e12 if self.encoder is None else 30e12

    def tokens_per_row(self) -> float:
        """Return the steps of a row of a training batch, on average; of various schedules those of the middle one."""
        schedule = self.config.training_schedules.draw(0.5, 0.5)
        plan = self.config.depth_plan(schedule)
        return float(sum(plan.chance_D * [schedule.length(depth) for depth in plan.depth_D.tolist()]))

    def embed(self, steps: torch.Tensor) -> torch.Tensor:
        """Embed steps (B, T, 7) as (B, T, hidden_size)."""
        return self.embedding_norm(self.embedding(steps.flatten(0, 1)).unflatten(0, steps.shape[:2]))

    def read(
        self, x_BTD: torch.Tensor, run: RunBlock = Block.__call__, schedule: Schedule | None = None
    ) -> torch.Tensor:
        """Return hidden states (B, T, hidden_size) of embedded steps: all windows at once, each after its latents.

        Args:
            schedule: None for the model's own.
        """
        schedule = schedule or self.schedule
        window, stride, length = schedule.window, schedule.stride, x_BTD.shape[1]
        depth = schedule.depth(length - 1)
        first = self.decode(x_BTD[:, :window], None, run=run)
        if depth == 0:
            return first
        missing = schedule.length(depth) - length  # a last window that is not full: later steps change nothing
        windows = F.pad(x_BTD, (0, 0, 0, missing)).unfold(1, window, stride)[:, 1:].transpose(2, 3)
        latents = self.compress(x_BTD[:, : depth * stride], run, stride)
        hidden = self.decode(windows.flatten(0, 1), None if latents is None else latents.flatten(0, 1), run=run)
        new = hidden[:, schedule.keep :].unflatten(0, (len(x_BTD), depth)).flatten(1, 2)
        return torch.cat([first, new], dim=1)[:, :length]

    def compress(
        self, x_BTD: torch.Tensor, run: RunBlock = Block.__call__, stride: int | None = None
    ) -> torch.Tensor | None:
        """Return latents (B, depth, n_latents, hidden_size) after every stride of the embedded steps; None for `ad`."""
        if self.encoder is None:
            return None
        latents = []
        for segment in x_BTD.split(stride or self.schedule.stride, dim=1):
            latents.append(self.encoder(segment, latents[-1] if latents else None, run))
        return torch.stack(latents, dim=1)

    def decode(
        self,
        x_BWD: torch.Tensor,
        latents_BMD: torch.Tensor | None,
        caches: list[Cache] | None = None,
        n_cached: int = 0,
        run: RunBlock = Block.__call__,
    ) -> torch.Tensor:
        """Return hidden states of one window's steps: latents see one another, steps the latents and no later step.

        Args:
            x_BWD: embedded steps. latents_BMD: the compressed past before them.
            caches: one per block, during acting; they hold the latents and the first `n_cached` steps.
            run: how a block is run.
        """
        n_before = 0 if latents_BMD is None else latents_BMD.shape[1]
        place = torch.arange(-n_before, x_BWD.shape[1], device=x_BWD.device) + self.n_latents + n_cached
        hidden = x_BWD
        if latents_BMD is not None and self.encoder is not None:
            hidden = torch.cat([self.encoder.placed(latents_BMD), hidden], dim=1)
        hidden, rotated = self.input_norm(hidden), rotary_table([place[None]], self.head_size)
        mask = hybrid_mask(n_before, x_BWD.shape[1], x_BWD.device) if n_before else None
        for block, cache in zip(self.decoder, caches or [None] * len(self.decoder), strict=True):
            is_causal = mask is None and x_BWD.shape[1] > 1
            hidden = run(block, hidden, rotated, mask=mask, causal=is_causal, cache=cache)
        return self.final_norm(hidden)[:, n_before:]


def hybrid_mask(n_latents: int, n_steps: int, device: torch.device) -> torch.Tensor:
    """Return the mask (1, 1, L, L) with which latents see one another, steps the latents and no later step."""
    place = torch.arange(n_latents + n_steps, device=device)
    return (place[None] <= place[:, None].clamp(min=n_latents - 1))[None, None]


def build_model(options: HistoryModelOptions, data: StoredDataset) -> HistoryModel:
    """Return an untrained model for the room of the dataset.

    Raises:
        UserError: heads that do not fit the width, a window without room, or depths that cannot be parsed.
    """
    check_heads(options)
    if options.keep >= options.window:
        raise UserError(
            f"--keep {options.keep} must be smaller than --window {options.window}: some steps must leave it"
        )
    weights = options.depth_weights
    weights = _DEPTH_WEIGHTS[options.architecture] if weights is None else weights
    room = room_of(data)
    config = HistoryConfig(
        **{**asdict(options), "depth_weights": weights},
        size=room.size,
        n_actions=room.n_actions,
        n_rewards=len(room.reward_values),
    )
    depths = "different depths from 0 on, each with a weight above 0"
    depth_D, _ = _parsed(config.depths, f"--depth_weights {weights!r}", depths, _WEIGHTS)
    given = f"--train_strides {options.train_strides!r} with --train_windows {options.train_windows!r}"
    ranges = "LEAST:MOST, no stride longer than the longest window"
    _parsed(lambda: config.training_schedules, given, ranges, "15:60 and 10:100")
    if options.architecture != "compressed_ad" and depth_D.tolist() != [0]:
        raise UserError(
            f"--depth_weights {weights} is for --architecture compressed_ad: what leaves the window of"
            f" {options.architecture} changes nothing; leave it out"
        )
    if options.architecture != "compressed_ad" and options.train_strides is not None:
        raise UserError(
            f"--train_strides {options.train_strides} is for --architecture compressed_ad: {options.architecture} is"
            " trained on one window at a time, whatever leaves it; leave it out"
        )
    return HistoryModel(config)


def _parsed(parse: Callable[[], Any], given: str, wanted: str, example: str) -> Any:
    """Return what a flag says.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return parse()
    except ValueError as error:
        raise UserError(f"{given} cannot be read; write {wanted}, e.g. {example}") from error


AutoConfig.register(HistoryConfig.model_type, HistoryConfig)
AutoModel.register(HistoryConfig, HistoryModel)
