"""Decide whether the training pass of a model is compiled: where the run is long enough to gain by it.

On a GPU it is recorded as CUDA graphs instead, which takes no time worth deciding about.
"""

from typing import Any, Protocol, cast

import torch

from trainers.base import WorldTrainer
from trainers.errors import UserError
from trainers.models.causal_lm import compile_training
from trainers.models.fused_blocks import is_supported
from trainers.runs.cadence import total_steps

# 6 x parameters x tokens of all steps. On an AMD EPYC compiling took 23 s (64/2/4/256) and 26 s (128/6/4/512), which is
# won back after 11 and 36 TFLOP; on a processor with AMX, by the times of its steps, after 6 and 26.
_WORTH_FLOP = 60e12
_LEAST_FILLED = 0.8  # of a batch in which every row is as wide as the longest


class OffersCompiling(Protocol):
    """A model of a task that has its own training pass compiled on a CPU, of batches of `compiled_rows` rows."""

    compiled_rows: int
    worth_compiling_flop: float
    """6 x parameters x tokens of all steps, from which the run gains by it."""

    def tokens_per_row(self) -> float:
        """Return the tokens of a row of a training batch, on average."""
        ...


def settle_compiling(trainer: WorldTrainer, before: bool | None) -> None:
    """Have full training batches compiled if --compile asks for it, or leaves it open and the run gains by it.

    The decision follows from settings, data and machine alone.

    Args:
        before: What a resumed run has done so far, which goes on where it is left open; None of one that starts.

    Raises:
        UserError: it is asked for and cannot be done.
    """
    asked = trainer.run.compile
    if asked == "never" or (asked == "auto" and before is False):
        return
    obstacle = _obstacle(trainer)
    on_gpu = trainer.args.device.type == "cuda"  # recording takes no longer than some steps
    if obstacle is None and (asked == "always" or before or on_gpu or _is_worth_it(trainer)):
        obstacle = None if on_gpu else failure()
        if obstacle is None:
            _start(trainer)
    if obstacle and asked == "always":
        raise UserError(f"--compile always: {obstacle}; leave it out")


def _start(trainer: WorldTrainer) -> None:
    model, rows = _parts(trainer)
    if _offers(model):
        model.compiled_rows = trainer.args.train_batch_size
    else:
        compile_training(model, trainer.args.train_batch_size)
        rows.fixed_width = True


def _offers(model: Any) -> bool:
    return hasattr(model, "worth_compiling_flop")


def _obstacle(trainer: WorldTrainer) -> str | None:
    """Return why the pass cannot be compiled, or would not be faster; None if nothing speaks against it."""
    args, (model, rows) = trainer.args, _parts(trainer)
    is_text = getattr(rows, "gives_plan", False) and is_supported(model)
    if not is_text and not _offers(model):
        return (
            "neither is the training pass trainers/models/causal_lm.py, nor does the model offer one that gains by it"
        )
    if trainer.is_fsdp_enabled or args.activation_checkpointing or args.torch_compile:
        return "FSDP, --activation_checkpointing and --torch_compile go their own ways through the model"
    if is_text and (trainer.run.group_by_length or _is_uneven(rows.length_N)):
        return "rows differ much in length, and a compiled batch is as wide as the longest"
    if len(rows) < args.train_batch_size * args.world_size:
        return f"full batches are compiled, and the training split has {len(rows):,} rows, less than one"
    if args.device.type == "cuda" and is_text:
        if args.n_gpu > 1 or args.world_size > 1:
            return "several GPUs exchange gradients in the middle of what would be replayed"
        return "a replay's gradients cannot be added up" if args.gradient_accumulation_steps > 1 else None
    return None if args.device.type == "cpu" else "it has been tried on CPUs and, for text tasks, NVIDIA's GPUs only"


def _is_uneven(length_N: torch.Tensor) -> bool:
    return bool(length_N.sum() / len(length_N) < _LEAST_FILLED * length_N.max())


def failure() -> str | None:
    """Compile something tiny, which takes seconds: a compiler, Python's headers and a cache must all be there."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8))
    except Exception as error:  # of PyTorch, of the compiler, of the disk: each has kinds of its own
        return f"compiling fails here ({' '.join(str(error).split())[:200]})"
    return None


def _is_worth_it(trainer: WorldTrainer) -> bool:
    model, _ = _parts(trainer)
    return _flop(trainer) >= (cast(OffersCompiling, model).worth_compiling_flop if _offers(model) else _WORTH_FLOP)


def _flop(trainer: WorldTrainer) -> float:
    """Return the work of the whole run, about (Kaplan et al. 2020)."""
    args, (model, rows) = trainer.args, _parts(trainer)
    per_row = model.tokens_per_row() if _offers(model) else rows.ids_NT.shape[1]
    tokens = args.train_batch_size * args.gradient_accumulation_steps * per_row
    return 6.0 * model.num_parameters() * tokens * total_steps(args, len(rows))


def _parts(trainer: WorldTrainer) -> tuple[Any, Any]:
    """Return the model and its training rows."""
    return trainer.unwrapped_model, trainer.train_dataset
