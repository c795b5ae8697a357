"""What one action costs: floating-point operations, counted, and CPU time, measured."""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tasks.in_context_rl.encoding import encode
from tasks.in_context_rl.model import HistoryModel
from tasks.in_context_rl.rollout import Actor
from tasks.in_context_rl.rooms import N_ACTIONS


def flops_per_action(model: HistoryModel) -> dict[str, float]:
    """Operations of one agent's action, averaged from one compression to the next.

    `cached` is how `Actor` acts; `recomputed` reads the whole window anew at every step, as earlier implementations do.
    A multiplication and an addition are two operations; only matrix products count.
    """
    model = copy.deepcopy(model).requires_grad_(False)  # else the counter looks for gradients
    window, keep, stride = model.schedule.window, model.schedule.keep, model.schedule.stride
    actor, step_1F = Actor(model, 1), _steps(model, 1)
    for _ in range(window + stride):  # the window is full, and there are latents from latents
        actor.logits(step_1F)
    latents, size = actor.latents_BMD, model.config.hidden_size
    encoder = model.encoder
    compressing = 0 if encoder is None else _counted(lambda: encoder(actor.window_BWD[:, :stride], latents))
    whole = [
        _counted(lambda n=n: model.head(model.decode(torch.zeros(1, n, size), latents)[:, -1]))
        for n in range(keep + 1, window + 1)
    ]
    return {
        "cached": _counted(lambda: [actor.logits(step_1F) for _ in range(stride)]) / stride,
        "recomputed": (sum(whole) + compressing) / stride,
    }


def seconds_per_action(models: Mapping[str, HistoryModel], batch: int, rounds: int) -> dict[str, list[float]]:
    """CPU-seconds of one agent's action, so many acting at once, one thread; in every round the models take turns."""
    actors = {name: Actor(model, batch) for name, model in models.items()}
    found: dict[str, list[float]] = {name: [] for name in models}
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number in range(rounds + 1):
        for name, actor in actors.items():
            schedule, step_BF = models[name].schedule, _steps(models[name], batch)
            n_steps = schedule.window if number == 0 else schedule.stride  # the first round fills the window
            start_s = time.process_time()
            for _ in range(n_steps):
                actor.logits(step_BF)
            if number:
                found[name].append((time.process_time() - start_s) / n_steps / batch)
    torch.set_num_threads(n_threads)
    return found


def _steps(model: HistoryModel, batch: int) -> torch.Tensor:
    """Some step; which one does not matter for what it costs."""
    zero_B = np.zeros(batch, dtype=np.int64)
    return torch.from_numpy(encode(model.config.size, zero_B, zero_B, zero_B + N_ACTIONS - 1, zero_B, zero_B))


@torch.no_grad()
def _counted(work: Callable[[], Any]) -> int:
    """Operations of the matrix products in `work()`."""
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the fused kernel for CPUs is not among those that are counted
        work()
    return counter.get_total_flops()
