"""The dataset of a mixture: the rows of its members, of the training rows in the asked shares, in a column `member`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from trainers import text
from trainers.contract import BuiltDataset, Pieces, StoredDataset, Task
from trainers.errors import UserError
from trainers.mixture import PRIMARY
from trainers.text import TextRows

MEMBER = "member"


def build(options: Any) -> BuiltDataset:
    """Build the members' datasets, each by its own builder, and put them together.

    A member gives its first rows; the one with fewest for its share gives all of them.

    Raises:
        UserError: The shares cannot be read or fulfilled, or the members are about different worlds.
    """
    members: Sequence[Task] = type(options).members
    built = {member.name: member.load("build_dataset")(_own(options, member)) for member in members}
    counts = _counts(built, shares_of(options.mix, len(built)))
    splits = {name for of in built.values() for name in of.splits}
    return BuiltDataset(
        splits={name: _together(built, name, counts) for name in sorted(splits)},
        facts={
            "seed": next(iter(built.values())).facts.get("seed"),
            **_world(built),
            "members": {name: {**of.facts, "columns": _columns(of)} for name, of in built.items()},
            "baselines": {split: _baselines(built, split) for split in sorted(splits - {"train"})},
            "adjustments": [
                f"{name}: {text}" for name, of in built.items() for text in of.facts.get("adjustments", ())
            ],
        },
        files=_files(built),
    )


def rows_of(data: StoredDataset, split: str, config: Any, fixed_width: bool) -> TextRows:
    """Return a split as token ids; the rows of a member are of one kind, which begin alike."""
    names, kind_N = np.unique(data.splits[split][MEMBER][:], return_inverse=True)
    return text.rows_of(data, split, config, fixed_width, kind_N if len(names) > 1 else None)


def shares_of(mix: str | None, n: int) -> list[float]:
    """Return the shares that `--mix` gives to n members, such as `2:1:1`; each 1 without it.

    A member with 0 is evaluated and not trained on.
    """
    try:
        shares = [1.0] * n if mix is None else [float(share) for share in mix.split(":")]
    except ValueError:
        shares = []
    if len(shares) != n or not all(0 <= share < np.inf for share in shares) or not any(shares):
        example = ":".join(["2", *["1"] * (n - 1)])
        raise UserError(
            f"--mix is {mix}; give a number for each of the {n} tasks, such as {example} (0: evaluated, not trained on)"
        )
    return shares


def _own(options: Any, member: Task) -> Any:
    return member.options(**{item.name: getattr(options, item.name) for item in dataclasses.fields(member.options)})


def _counts(built: Mapping[str, BuiltDataset], shares: Sequence[float]) -> dict[str, int]:
    """Return how many training rows each member gives."""
    for name, of in built.items():
        if isinstance(of.splits["train"], Pieces):
            raise UserError(
                f"{name} has {len(of.splits['train']):,} rows; a task gives a mixture {Pieces.SIZE:,} at most"
            )
    share_of = dict(zip(built, shares, strict=True))
    unit = min(len(of.splits["train"]) / share_of[name] for name, of in built.items() if share_of[name])
    counts = {name: round(unit * share) for name, share in share_of.items()}
    if none := [name for name, count in counts.items() if share_of[name] and not count]:
        raise UserError(f"--mix leaves {none[0]} without a row; give it a larger share, or all tasks more rows")
    return counts


def _together(built: Mapping[str, BuiltDataset], split: str, counts: Mapping[str, int]) -> Dataset:
    tables = []
    for name, of in built.items():
        if split in of.splits:
            rows: Any = of.splits[split]
            table = rows.with_format("arrow")[: counts[name] if split == "train" else len(rows)]
            tables.append(table.append_column(MEMBER, pa.array([name] * len(table))))
    return Dataset(pa.concat_tables(tables, promote_options="permissive").combine_chunks())


def _columns(built: BuiltDataset) -> list[str]:
    rows: Any = built.splits["train"]
    return list(rows.column_names)


def _baselines(built: Mapping[str, BuiltDataset], split: str) -> dict[str, float]:
    """Return the scores of all trivial answers; together they improve nothing."""
    scores = {name: of.facts.get("baselines", {}).get(split, {}) for name, of in built.items()}
    return {PRIMARY: 0.0} | {f"{name}_{metric}": value for name, of in scores.items() for metric, value in of.items()}


def _world(built: Mapping[str, BuiltDataset]) -> dict[str, Any]:
    """Return the facts about the world, which has to be the same for all members that have one."""
    worlds = {name: of.facts for name, of in built.items() if "world" in of.facts}
    first = next(iter(worlds), "")
    for name, facts in worlds.items():
        if facts["world"] != worlds[first]["world"]:
            raise UserError(f"{name} and {first} are about different worlds; mix tasks about one")
    return {key: worlds[first][key] for key in ("world", "worlds") if first and key in worlds[first]}


def _files(built: Mapping[str, BuiltDataset]) -> dict[str, Callable[[Path], None]]:
    return {name: write for of in reversed([*built.values()]) for name, write in of.files.items()}
