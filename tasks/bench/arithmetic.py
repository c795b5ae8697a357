"""How close a training step comes to the machine's rate of matrix products, and where the rest of its time goes."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from tasks.bench.contender import Work, timed
from tasks.bench.training import DEVICE, TrainingContest, now_s

SIDE = 2_048
KINDS = {
    "matrix_products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "optimiser": ("aten::_fused_adamw_", "aten::_foreach_norm", "aten::_foreach_mul_"),
}


def product() -> Work:
    """Products of two large square matrices: the rate that nothing here can exceed."""
    left, right = torch.randn(2, SIDE, SIDE, device=DEVICE)
    return lambda: timed(_times(5, lambda: torch.mm(left, right)), 5 * 2 * SIDE**3 / 1e9, now_s=now_s)


def training_step(compiled: bool = False, **options: Any) -> Work:
    """Loss, gradients, clipping and AdamW of one batch in float32; its units are what its own pass computes."""
    contest = TrainingContest(**options)
    batch = next(contest.batches())
    contest.reset()
    model: Any = contest.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    model.compiled_rows = contest.batch_size if compiled else 0
    gigaflop = contest.steps * counter.get_total_flops() / 1e9

    def step() -> None:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()
    shares = _shares(step)
    return lambda: {**timed(_times(contest.steps, step), gigaflop, now_s=now_s), "notes": shares}


def _times(count: int, work: Callable[[], Any]) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(count):
            work()

    return repeat


def _shares(step: Callable[[], None]) -> dict[str, float]:
    """Share of the time spent in matrix products and in the optimiser; the rest moves numbers about."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times_us = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    total_us = sum(times_us.values())
    shares = {kind: sum(times_us.get(name, 0) for name in names) / total_us for kind, names in KINDS.items()}
    return {**shares, "rest": 1 - sum(shares.values())}
