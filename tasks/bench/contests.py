"""The contests: contenders, options and targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_SIZES = {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 512}
_STEP = {"task": "location", "batch_size": 512, "steps": 3, **_SIZES}
_TRAINERS = {
    "ours": ("training:ours", {}),
    "ours, compiled": ("training:ours", {"compiled": True}),
    "ours, float32": ("training:ours", {"precision": "float32"}),
    "stock Trainer": ("training:stock_trainer", {}),
    "bare loop": ("training:bare_loop", {}),
    "bare loop, compiled": ("training:bare_loop", {"at_its_best": True}),
}
_TARGETS = {"stock Trainer": 1.5, "bare loop": 0.95, "bare loop, compiled": 0.95}
_SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}


@dataclass(frozen=True)
class Contest:
    """One table: contenders that do the same work.

    Attributes:
        name: As the command line calls it.
        contenders: Name -> `module:function` below `tasks.bench` that returns its work, and options of its own. The
            first is what the others are compared with.
        unit: What the work consists of.
        options: Options of every contender.
        targets: Contender -> how many times as long as the first it should take at least.
        tolerance: How far what they agree on may differ, relative (0: not at all).
        rounds: Largest number of rounds.
    """

    name: str
    contenders: Mapping[str, tuple[str, Mapping[str, Any]]]
    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    tolerance: float = 0.0
    rounds: int = 100


def _training(
    task: str,
    batch_size: int,
    steps: int,
    names: Sequence[str] = tuple(_TRAINERS),
    targets: Mapping[str, float] = MappingProxyType(_TARGETS),
    rounds: int = 100,
    sizes: Mapping[str, int] = MappingProxyType(_SIZES),
) -> Contest:
    options = {"task": task, "batch_size": batch_size, "steps": steps, **sizes}
    contenders = {name: _TRAINERS[name] for name in names}
    name = f"{task}_{batch_size}" + ("_small" if sizes is _SMALL else "")
    return Contest(name, contenders, "examples", options, targets, 3e-2, rounds)  # some compute in bfloat16


CONTESTS = (
    _training("location", 64, 20),
    _training("location", 512, 3),
    _training("location", 256, 20, sizes=_SMALL),
    _training("distance", 64, 20),
    _training("distance", 512, 3),
    Contest(
        name="arithmetic",
        contenders={
            "matrix product": ("arithmetic:product", {}),
            "ours": ("arithmetic:training_step", _STEP),
            "ours, compiled": ("arithmetic:training_step", {"compiled": True, **_STEP}),
        },
        unit="GFLOP",
    ),
    _training(
        "random_walk", 64, 5, ("ours", "ours, float32", "stock Trainer", "bare loop"), {"stock Trainer": 2.5}, rounds=3
    ),
    Contest(
        name="generating",
        contenders={
            "ours": ("generating:ours", {}),
            **{f"generate, batch {size}": ("generating:stock", {"batch_size": size}) for size in (16, 128, 512)},
        },
        unit="prompts",
        options=_SIZES,
        targets={"generate, batch 16": 10, "generate, batch 128": 1.5, "generate, batch 512": 1.5},
    ),
    Contest(
        name="building",
        contenders={"ours": ("building:ours", {}), "row by row": ("building:row_by_row", {})},
        unit="rows",
        options={"rows": 1_000_000},
        targets={"row by row": 100},
    ),
    Contest(
        name="tokenising",
        contenders={
            "ours": ("tokenising:ours", {}),
            "sample by sample": ("tokenising:one_by_one", {}),
            "tokenizer, batched": ("tokenising:batched", {}),
        },
        unit="rows",
        options={"rows": 1_000_000},
        targets={"sample by sample": 1_000, "tokenizer, batched": 150},
    ),
    Contest(
        name="growing",
        contenders={
            f"{millions} M rows, {cities:,} cities": (
                "building:growing",
                {"rows": round(millions * 1e6), "cities": cities},
            )
            for millions, cities in ((1, 5_075), (0.1, 5_075), (10, 5_075), (0.4, 1_000), (1, 30_000))
        }
        | {"10 M rows, 2 processes": ("building:growing", {"rows": 10_000_000, "cities": 5_075, "num_proc": 2})},
        unit="rows",
        rounds=2,
    ),
)
