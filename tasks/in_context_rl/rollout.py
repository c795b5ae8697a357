"""Incremental inference with cached keys and values; logits equal those of a full forward pass."""

from typing import Any

import numpy as np
import torch

from tasks.in_context_rl.encoding import encode
from tasks.in_context_rl.model import HistoryModel
from tasks.in_context_rl.worlds import World
from trainers.models.blocks import Cache


class Actor:
    """B agents in lockstep, each with its own history."""

    def __init__(self, model: HistoryModel, batch: int) -> None:
        self.model = model
        config, device = model.config, next(model.parameters()).device
        shape = (batch, config.num_attention_heads, model.n_latents + config.window, model.head_size)
        empty = torch.zeros(shape, device=device, dtype=model.dtype)
        self.caches = [Cache(empty.clone(), empty.clone()) for _ in model.decoder]
        self.latents_BMD: torch.Tensor | None = None
        self.window_BWD = torch.zeros(batch, 0, config.hidden_size, device=device, dtype=model.dtype)

    @torch.no_grad()
    def logits(self, step_BF: torch.Tensor) -> torch.Tensor:
        """Append a step (B, 7) to every history and return logits (B, n_actions) of the next action."""
        x_B1D = self.model.embed(step_BF[:, None].to(self.window_BWD.device))
        if self.window_BWD.shape[1] == self.model.schedule.window:
            self._compress()
        hidden = self.model.decode(x_B1D, None, self.caches, self.window_BWD.shape[1])
        self.window_BWD = torch.cat([self.window_BWD, x_B1D], dim=1)
        return self.model.head(hidden)[:, -1]

    def _compress(self) -> None:
        """Compress the oldest steps into latents and encode the rest again."""
        stride = self.model.schedule.stride
        if self.model.encoder is not None:
            self.latents_BMD = self.model.encoder(self.window_BWD[:, :stride], self.latents_BMD)
        self.window_BWD = self.window_BWD[:, stride:]
        for cache in self.caches:
            cache.filled = 0
        if self.latents_BMD is not None or self.window_BWD.shape[1]:
            self.model.decode(self.window_BWD, self.latents_BMD, self.caches)


def rollout(model: HistoryModel, room: World, tasks: Any, n_episodes: int, generator: torch.Generator) -> np.ndarray:
    """Let the model act in N tasks at once, E episodes each in one context; return their returns, (N, E).

    Args:
        generator: of the actions; what the room leaves to chance has its seed.
    """
    n, actor, chance = len(tasks), Actor(model, len(tasks)), np.random.default_rng(generator.initial_seed())
    arrived_N = action_N = reward_N = np.full(n, -1)
    return_NE = np.zeros((n, n_episodes))
    for episode in range(n_episodes):
        cell_N, stage_N = np.full(n, room.start), np.zeros(n, dtype=np.int64)
        for number in range(room.horizon):
            begins_N = np.full(n, number == 0)
            ids = encode(model.config.field_sizes, cell_N, arrived_N, action_N, reward_N, begins_N)
            action_N = choose_actions(actor.logits(torch.from_numpy(ids)), model.config.act_temperature, generator)
            arrived_N, stage_N, reward_N = room.step(tasks, cell_N, stage_N, action_N, chance)
            cell_N = arrived_N
            return_NE[:, episode] += room.worth(tasks, action_N[:, None], reward_N[:, None])[:, 0]
    return return_NE


def choose_actions(logits_BA: torch.Tensor, temperature: float, generator: torch.Generator) -> np.ndarray:
    """Draw one action for each of B agents, on the CPU, so that all devices draw alike."""
    if temperature == 0:
        return logits_BA.argmax(dim=-1).cpu().numpy()
    logits_BA = logits_BA.float().cpu()
    chance_BA = ((logits_BA - logits_BA.amax(dim=-1, keepdim=True)) / temperature).softmax(dim=-1)
    return torch.multinomial(chance_BA, 1, generator=generator)[:, 0].numpy()
