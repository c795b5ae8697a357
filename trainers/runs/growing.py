"""Find the rows of the smaller worlds that a run trains in first (`--grow`)."""

from itertools import accumulate
from typing import Any

import numpy as np
import torch

from trainers.base import WorldTrainer
from trainers.contract import GrowingWorld
from trainers.errors import UserError
from trainers.runs.cadence import steps_per_epoch, total_steps
from trainers.sampling import Stage
from trainers.settings.growing import stages_of


def settle_growing(trainer: WorldTrainer) -> str | None:
    """Let the trainer draw rows of smaller worlds first if `--grow` asks for it; return the line that says so.

    Raises:
        UserError: A stage does not fit the world, the batch or the run.
    """
    if trainer.run.grow is None:
        return None
    asked = stages_of(trainer.run.grow)
    _check_steps(trainer, sum(steps for _, steps in asked))
    world: GrowingWorld = trainer.task.load("grows")(trainer.data, "train")
    _check_world(trainer, world, [size for size, _ in asked])
    rows = [torch.from_numpy(_rows_of(world, size)) for size, _ in asked]
    ends = accumulate(steps for _, steps in asked)
    trainer.stages = [Stage(*stage) for stage in zip(rows, (_position(trainer, end) for end in ends), strict=True)]
    (size, steps), *others = asked
    first = f"{size:,} of {world.size:,} {world.things} ({len(rows[0]):,} rows) for {steps:,} steps"
    later = [f"{size:,} ({len(of):,} rows) for {steps:,}" for (size, steps), of in zip(others, rows[1:], strict=True)]
    return f"growing world: {', then '.join([first, *later, 'all'])}"


def _check_steps(trainer: WorldTrainer, n_steps: int) -> None:
    in_all = total_steps(trainer.args, _n_rows(trainer))
    if n_steps > in_all:
        raise UserError(
            f"--grow {trainer.run.grow} takes {n_steps:,} steps, but the run has {in_all:,}; give fewer, or more"
            " --max_steps or --num_train_epochs"
        )


def _check_world(trainer: WorldTrainer, world: GrowingWorld, sizes: list[int]) -> None:
    """Refuse stages as large as the world, or with less than a batch, whose rows would come twice in a step."""
    if (largest := max(sizes)) >= world.size:
        raise UserError(
            f"--grow {trainer.run.grow}: the world has {world.size:,} {world.things}, and {largest:,} is no part of it;"
            " give smaller sizes: behind the last stage all rows are trained on"
        )
    n_rows, batch = int(np.count_nonzero(world.smallest_N <= min(sizes))), _rows_per_step(trainer)
    if n_rows < batch:
        raise UserError(
            f"--grow {trainer.run.grow}: {n_rows:,} rows are about the first {min(sizes):,} {world.things} only, and a"
            f" step takes {batch:,}; give a larger world or a smaller --per_device_train_batch_size"
        )


def _rows_of(world: GrowingWorld, size: int) -> np.ndarray:
    """Return the numbers of the rows in the world of this size, in as few bits as hold them."""
    short = np.int32 if len(world.smallest_N) <= 2**31 else np.int64
    return np.flatnonzero(world.smallest_N <= size).astype(short)


def _position(trainer: WorldTrainer, step: int) -> int:
    """Return how many rows come before an optimizer step; the last one of an epoch may have fewer than others."""
    n_rows = _n_rows(trainer)
    epochs, steps = divmod(step, steps_per_epoch(trainer.args, n_rows))
    return epochs * n_rows + min(steps * _rows_per_step(trainer), n_rows)


def _rows_per_step(trainer: WorldTrainer) -> int:
    """Return the rows of one optimizer step, over all processes."""
    args = trainer.args
    return args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size


def _n_rows(trainer: WorldTrainer) -> int:
    rows: Any = trainer.train_dataset
    return len(rows)
