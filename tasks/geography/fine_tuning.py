"""What runs of a study are fine-tuned from, a base for every seed, trained first or given; and what tasks they have."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.contract import Task
from trainers.folders.run_folder import RunFolder
from trainers.studies.parent import Children

Seed = int | None
"""None is the one seed of a study without --seeds."""
ASKS_THE_SAME = {"atlantis_cross": "distance"}
"""Task about invented cities -> the one that asks about real ones in the same words, where that is another."""


def train_bases(given: str | None, flags: Mapping[str, Any], folder: Path, children: Children) -> dict[Seed, RunFolder]:
    """Return the finished base model of every seed: the run in the folder `given`, or one trained with these flags.

    Raises:
        UserError: none could be trained to its end.
    """
    seeds: list[Seed] = [*children.seeds] if children.seeds else [None]
    if given:
        return dict.fromkeys(seeds, RunFolder(Path(os.path.expanduser(given)).resolve()))
    places = {folder / named("base", seed): seed for seed in seeds}
    trained = children.train({place: seeded(flags, seed) for place, seed in places.items()})
    if not trained:
        children.check()
    return {places[base.path]: base for base in trained}


def named(name: str, seed: Seed) -> str:
    """Return the name of the folder of a run with a seed."""
    return name if seed is None else f"{name}-{seed}"


def seeded(flags: Mapping[str, Any], seed: Seed) -> dict[str, Any]:
    """Return the flags with the seed."""
    return {**flags} if seed is None else {**flags, "seed": seed}


def members_of(task: Task) -> dict[str, Task]:
    """Return the tasks of a mixture by name, or a task alone."""
    return {member.name: member for member in task.members or (task,)}
