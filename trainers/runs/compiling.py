"""Decide whether the training pass of a text model is compiled: where the run is long enough to gain by it."""

import shutil
import sysconfig
from pathlib import Path
from typing import Any

from trainers.base import WorldTrainer
from trainers.errors import UserError
from trainers.models.fused_blocks import is_supported
from trainers.runs.cadence import total_steps

# 6 x parameters x tokens of all steps. Compiling takes as long as 10 to 20 of them do, and saves a third of all.
_WORTH_FLOP = 60e12
_LEAST_FILLED = 0.8  # of a batch in which every row is as wide as the longest


def settle_compiling(trainer: WorldTrainer) -> None:
    """Have full training batches compiled if --compile asks for it, or leaves it open and the run gains by it.

    The decision follows from settings, data and machine alone, so that a resumed run computes as before.

    Raises:
        UserError: it is asked for and cannot be done.
    """
    asked = trainer.run.compile
    if asked == "never":
        return
    obstacle = _obstacle(trainer)
    if obstacle and asked == "always":
        raise UserError(f"--compile always: {obstacle}; leave it out")
    if not obstacle and (asked == "always" or _flop(trainer) >= _WORTH_FLOP):
        model: Any = trainer.unwrapped_model
        model.compiled_rows = trainer.args.per_device_train_batch_size
        rows: Any = trainer.train_dataset
        rows.fixed_width = True


def _obstacle(trainer: WorldTrainer) -> str | None:
    """Return why the pass cannot be compiled, or would not be faster; None if nothing speaks against it."""
    args, model = trainer.args, trainer.unwrapped_model
    rows: Any = trainer.train_dataset
    if not getattr(rows, "gives_plan", False) or not is_supported(model):
        return "the training pass is not trainers/models/causal_lm.py, which is what it compiles"
    if trainer.is_fsdp_enabled or args.activation_checkpointing or args.torch_compile:
        return "FSDP, --activation_checkpointing and --torch_compile go their own ways through the model"
    if trainer.run.group_by_length or rows.length_N.sum() / len(rows) < _LEAST_FILLED * rows.length_N.max():
        return "rows differ much in length, and a compiled batch is as wide as the longest"
    if args.device.type != "cpu":
        return "it has been tried on CPUs only"
    header = Path(sysconfig.get_path("include"), "Python.h")
    has_compiler = header.is_file() and any(map(shutil.which, ("g++", "clang++")))
    return None if has_compiler else "there is no C++ compiler, or no Python.h"


def _flop(trainer: WorldTrainer) -> float:
    """Return the work of the whole run, about (Kaplan et al. 2020)."""
    args = trainer.args
    rows: Any = trainer.train_dataset
    tokens = args.train_batch_size * args.gradient_accumulation_steps * rows.ids_NT.shape[1]
    return 6.0 * trainer.unwrapped_model.num_parameters() * tokens * total_steps(args, len(rows))
