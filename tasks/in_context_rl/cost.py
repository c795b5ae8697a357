"""Cost of an action: counted floating-point operations and measured CPU time."""

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


def flops_per_action(model: HistoryModel) -> dict[str, float]:
    """Count the operations of one agent's action, averaged from one compression to the next.

    `cached` is how `Actor` acts; `recomputed` reads the complete window at every step, as earlier implementations do.
    A multiplication and an addition are two operations; only matrix products count.
    """
    model = copy.deepcopy(model).requires_grad_(False)  # else the counter looks for gradients
    window, keep, stride = model.schedule.window, model.schedule.keep, model.schedule.stride
    actor, step_1F = Actor(model, 1), _steps(model, 1)
    for _ in range(window + stride):  # the window is full, and there are latents from latents
        actor.logits(step_1F)
    latents, size = actor.latents_BMD, model.config.hidden_size
    encoder = model.encoder
    compressing = 0 if encoder is None else _count(lambda: encoder(actor.window_BWD[:, :stride], latents))
    windows = [
        _count(lambda n=n: model.head(model.decode(torch.zeros(1, n, size), latents)[:, -1]))
        for n in range(keep + 1, window + 1)
    ]
    return {
        "cached": _count(lambda: [actor.logits(step_1F) for _ in range(stride)]) / stride,
        "recomputed": (sum(windows) + compressing) / stride,
    }


def seconds_per_action(models: Mapping[str, HistoryModel], batch: int, rounds: int) -> dict[str, list[float]]:
    """Measure CPU-seconds of one agent's action, `batch` acting at once on one thread; models take turns."""
    actors = {name: Actor(model, batch) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
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
                seconds[name].append((time.process_time() - start_s) / n_steps / batch)
    torch.set_num_threads(n_threads)
    return seconds


def _steps(model: HistoryModel, batch: int) -> torch.Tensor:
    """Return some step; its cost does not depend on which."""
    zero_B = np.zeros(batch, dtype=np.int64)
    return torch.from_numpy(encode(model.config.field_sizes, zero_B, zero_B, zero_B, zero_B, zero_B))


@torch.no_grad()
def _count(work: Callable[[], Any]) -> int:
    """Count the operations of the matrix products in `work()`."""
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the fused CPU kernel is not counted
        work()
    return counter.get_total_flops()
