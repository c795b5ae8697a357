"""Time loss and gradients of a batch in float32 and in bfloat16, and compiled where that can be, in turns.

python -m tasks.bench.precision --config darkroom
python -m tasks.bench.precision --config location --rounds 15 --threads 2
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainers.common.tables import format_table
from trainers.options import option
from trainers.settings.command import command


@dataclass
class PrecisionOptions:
    """Of which run, and how often."""

    config: str = option("location", "config of the run whose batches and model are taken")
    rounds: int = option(7, "turns of each", least=1, most=1000)
    threads: int = option(1, "CPU threads", least=1, most=1024)


@command(PrecisionOptions)
def main(options: PrecisionOptions) -> None:
    """Print the time of a step without its optimizer, and how many times as long it takes in float32."""
    steps = _steps(options)
    for step in steps.values():  # imports, compiling
        step()
    times_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            start_s = time.perf_counter()
            step()
            times_s[name].append(time.perf_counter() - start_s)
    print(format_table([_row(name, times_s) for name in steps]))


def _row(name: str, times_s: Mapping[str, list[float]]) -> dict[str, Any]:
    ratios = [one / other for one, other in zip(times_s["float32"], times_s[name], strict=True)]
    shown = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
    return {"step": name, "ms": 1_000 * statistics.median(times_s[name]), "float32 takes as long times": shown}


def _steps(options: PrecisionOptions) -> dict[str, Callable[[], None]]:
    """Return what is timed, by name: three batches each."""
    from trainers import registry
    from trainers.common.environment import resolved_prefix
    from trainers.runs import session
    from trainers.settings.request import read_request
    from trainers.settings.resolve import resolve_settings

    asked = f"--config {options.config} --precision float32 --compile never --use_cpu --threads {options.threads}"
    trainer = session.prepare(resolve_settings(read_request(asked.split(), registry.load)), resolved_prefix()).trainer
    model: Any = trainer.unwrapped_model.train()
    rows: Any = trainer.train_dataset
    size = trainer.args.train_batch_size
    batches = [rows.__getitems__([*range(start, start + size)]) for start in range(0, 3 * size, size)]
    steps = {"float32": _step(model, batches, False, 0), "bfloat16": _step(model, batches, True, 0)}
    if getattr(rows, "gives_plan", False):
        rows.fixed_width = True
    if getattr(rows, "gives_plan", False) or hasattr(model, "worth_compiling_flop"):
        alike = [rows.__getitems__([*range(start, start + size)]) for start in range(0, 3 * size, size)]
        steps["bfloat16, compiled"] = _step(model, alike, True, size)
    return steps


def _step(model: Any, batches: list[Any], is_bfloat16: bool, compiled_rows: int) -> Callable[[], None]:
    """Return a function that computes loss and gradients of the batches."""
    import torch

    def step() -> None:
        model.compiled_rows = compiled_rows
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
                loss = model(**batch).loss
            loss.backward()
            model.zero_grad()

    return step


if __name__ == "__main__":
    sys.exit(main())
