"""How close a training step comes to the machine's rate of matrix products, and where the rest of its time goes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from tasks.bench.training import TrainingContest, Work, now_s
from trainers.text import TextRows

SIDE = 2_048
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
KINDS = {
    "matrix_products": PRODUCTS,
    "optimiser": ("aten::_fused_adamw_", "aten::_foreach_norm", "aten::_foreach_mul_"),
}


def product(options: Mapping[str, Any]) -> Work:
    """Products of two large square matrices: the rate that nothing here can exceed."""
    torch.set_num_threads(options["threads"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    left, right = torch.randn(2, SIDE, SIDE, device=device)

    def work() -> dict[str, Any]:
        start_s = now_s(device)
        for _ in range(5):
            torch.mm(left, right)
        return {"seconds": now_s(device) - start_s, "units": 5 * 2 * SIDE**3 / 1e9}

    return work


def training_step(options: Mapping[str, Any], torch_compile: bool = False) -> Work:
    """Loss, gradients, clipping and AdamW of one batch; its units are the operations that its own pass needs."""
    course = TrainingContest(options)
    rows = TextRows("train", course.data.splits["train"])  # pyright: ignore[reportArgumentType]
    batch = rows.__getitems__(list(range(course.batch_size)))
    batch = {name: value.to(course.device) if hasattr(value, "to") else value for name, value in batch.items()}
    course.reset()
    optimizer = torch.optim.AdamW(course.model.parameters(), lr=1e-3, fused=True)
    model: Any = torch.compile(course.model) if torch_compile else course.model
    with FlopCounterMode(display=False) as counter:
        course.model(**batch).loss.backward()
    gigaflop = counter.get_total_flops() / 1e9

    def step() -> None:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(course.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()
    shares = _shares(step)

    def work() -> dict[str, Any]:
        start_s = now_s(course.device)
        for _ in range(course.steps):
            step()
        return {"seconds": now_s(course.device) - start_s, "units": course.steps * gigaflop, "notes": shares}

    return work


def _shares(step: Callable[[], None]) -> dict[str, float]:
    """Share of the time spent in matrix products and in the optimiser; the rest moves numbers about."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    times_us = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    total_us = sum(times_us.values())
    shares = {kind: sum(times_us.get(name, 0) for name in names) / total_us for kind, names in KINDS.items()}
    return {**shares, "rest": 1 - sum(shares.values())}


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Work]] = {
    "matrix product": product,
    "ours": training_step,
    "ours, compiled": lambda options: training_step(options, torch_compile=True),
}
