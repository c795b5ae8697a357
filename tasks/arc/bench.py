"""CPU time of a training step: the champion next to one of stock layers, as the first experiments made theirs.

    python -m tasks.arc.bench --max_side 30 --rounds 3

All see the same examples and predict the same tokens; steps alternate, forward and backward with one thread. The stock
model pads demonstrations to 30 x 30 cells, pushes every pad through a 2,048 wide layer and adds a float mask to its
attention. JSON goes to `<EXP_DIR_PREFIX>/bench/`.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.bench.report import write_report
from trainers.common import environment
from trainers.common.tables import format_table
from trainers.options import option
from trainers.settings.command import command

_SIZES: dict[str, Any] = {
    "hidden_size": 160,
    "num_attention_heads": 4,
    "num_encoder_layers": 1,
    "num_hidden_layers": 3,
    "intermediate_size": 384,
}


@dataclass
class BenchOptions:
    """Sizes of a step, and rounds."""

    max_side: int = option(30, "largest height or width of a grid", least=10, most=30)
    batch_size: int = option(32, "examples in a step", least=2, most=512)
    rounds: int = option(3, "steps of each contender, alternating", least=1, most=100)


def table(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return one line per contender: CPU-seconds of a step, and the ratio of medians to the first contender."""
    first = float(np.median(next(iter(seconds.values()))))
    rows: list[dict[str, Any]] = []
    for name, times in seconds.items():
        median = float(np.median(times))
        measured = {"min": min(times), "median": median, "max": max(times), "ratio": median / first}
        rows.append({"CPU-seconds a step": name, **measured})
    return format_table(rows, dict.fromkeys(("min", "median", "max", "ratio"), ".2f"))


@command(BenchOptions)
def main(options: BenchOptions) -> None:
    """Run the bench."""
    prefix = environment.resolved_prefix()
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = _contenders(options)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # the first step of a shape allocates
    for _ in range(options.rounds):
        for name, step in steps.items():
            start_s = time.process_time()
            step()
            seconds[name].append(time.process_time() - start_s)
    print(table(seconds))
    write_report(prefix, "arc_step", {**vars(options), "threads": 1, "cpu_seconds": seconds})


def _contenders(options: BenchOptions) -> dict[str, Callable[[], Any]]:
    """Return name -> one training step, without the optimiser."""
    from tasks.arc.model import ArcConfig, ArcModel
    from tasks.arc.stock_champion import StockChampion

    steps: dict[str, Callable[[], Any]] = {}
    for bridge in ("cross_attention", "concat_mlp"):
        model = ArcModel(ArcConfig(bridge=bridge, **_SIZES)).train()
        rows, chosen = _examples(options, model.config)
        steps[f"champion, {bridge}"] = _step(model, rows.__getitems__(chosen))
    rows, chosen = _examples(options, ArcConfig())
    grids = _padded_context(rows, chosen)
    steps["stock layers"] = _step(StockChampion().train(), {"grids": grids, **rows.__getitems__(chosen)})
    return steps


def _step(model: Any, batch: Mapping[str, Any]) -> Callable[[], None]:
    def step() -> None:
        model.zero_grad()
        model(**batch).loss.backward()

    return step


def _examples(options: BenchOptions, config: Any) -> tuple[Any, list[int]]:
    """Return examples of all generated tasks, and the rows of the batch."""
    from tasks.arc.data import build
    from tasks.arc.options import ArcOptions
    from tasks.arc.rows import ArcRows

    pairs = math.ceil(options.batch_size / 14) + 3
    asked = ArcOptions(max_side=options.max_side, pairs_per_task=pairs, n_val=0, n_test=0, unseen_source="none")
    table: Any = build(asked).splits["train"]
    rows = ArcRows("train", table, config, vars(asked))
    return rows, np.linspace(0, len(rows) - 1, options.batch_size).astype(int).tolist()


def _padded_context(rows: Any, chosen: list[int]) -> Any:
    """Return the colours of the demonstrations, inputs and outputs, padded, (B, 4, 30 * 30)."""
    import torch
    from torch.nn.functional import pad

    from tasks.arc.generators.concept import LARGEST_SIDE
    from tasks.arc.grids import PAD

    padded = []
    for grids in rows.examples(chosen)[2:4]:
        more = LARGEST_SIDE - grids.cells_BSS.shape[1]
        cells = pad(grids.cells_BSS, (0, more, 0, more), value=PAD)
        padded.append(cells.flatten(1).unflatten(0, (len(chosen), -1)))
    return torch.cat(padded, dim=1).long()


if __name__ == "__main__":
    sys.exit(main())
