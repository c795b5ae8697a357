"""What is measured, against whom, and what must be reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SIZES = {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 512}
_TRAINERS = ("ours", "ours, compiled", "stock Trainer", "bare loop", "bare loop, compiled")


@dataclass(frozen=True)
class Contest:
    """One table: contenders that do the same work.

    Attributes:
        name: as the command line calls it. module: where the contenders are, `tasks.bench.<module>`.
        contenders: the first is what the others are compared with.
        unit: what the work consists of.
        options: what the contenders are told.
        targets: contender -> how many times as long as the first it should take at least.
        tolerance: how far what they agree on may differ, relative (0: not at all).
        rounds: how many of the rounds that are asked for are made at most.
    """

    name: str
    module: str
    contenders: tuple[str, ...]
    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    tolerance: float = 0.0
    rounds: int = 100


def _training(task: str, batch_size: int, steps: int) -> Contest:
    return Contest(
        name=f"{task}_{batch_size}",
        module="training",
        contenders=_TRAINERS,
        unit="samples",
        options={"task": task, "batch_size": batch_size, "steps": steps, **_SIZES},
        targets={"stock Trainer": 1.5, "bare loop": 0.95, "bare loop, compiled": 0.95},
        tolerance=1e-3,
    )


CONTESTS = (
    _training("location", 64, 20),
    _training("location", 512, 3),
    _training("distance", 64, 20),
    _training("distance", 512, 3),
    Contest(
        name="arithmetic",
        module="arithmetic",
        contenders=("matrix product", "ours", "ours, compiled"),
        unit="GFLOP",
        options={"task": "location", "batch_size": 512, "steps": 3, **_SIZES},
    ),
    Contest(
        name="random_walk_64",
        module="training",
        contenders=("ours", "stock Trainer", "bare loop"),
        unit="samples",
        options={"task": "random_walk", "batch_size": 64, "steps": 5, **_SIZES},
        targets={"stock Trainer": 2.5},
        tolerance=1e-3,
        rounds=3,
    ),
    Contest(
        name="generating",
        module="generating",
        contenders=("ours", "generate, batch 16", "generate, batch 128", "generate, batch 512"),
        unit="prompts",
        options=_SIZES,
        targets={"generate, batch 16": 10, "generate, batch 128": 1.5, "generate, batch 512": 1.5},
    ),
    Contest(
        name="building",
        module="building",
        contenders=("ours", "row by row"),
        unit="rows",
        options={"rows": 1_000_000},
        targets={"row by row": 100},
    ),
    Contest(
        name="tokenising",
        module="tokenising",
        contenders=("ours", "sample by sample", "tokenizer, batched"),
        unit="rows",
        options={"rows": 1_000_000},
        targets={"sample by sample": 1_000, "tokenizer, batched": 150},
    ),
    Contest(
        name="growing",
        module="growing",
        contenders=(
            "1 M rows, 5,075 cities",
            "0.1 M rows, 5,075 cities",
            "10 M rows, 5,075 cities",
            "0.4 M rows, 1,000 cities",
            "1 M rows, 30,000 cities",
        ),
        unit="rows",
        rounds=2,
    ),
)
