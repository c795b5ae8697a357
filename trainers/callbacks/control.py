"""Callbacks that stop a training, pull its weights or choose its checkpoints."""

import math
import operator
import signal
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from trainers.common.metric_names import best_model_key
from trainers.common.ranking import best_steps, loss_of
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder

_DISTANCES = 8  # between the checkpoints that a run keeps for a probe
_ECHO_S = 5.0  # a launcher that is told to end tells its processes again, a moment after the cluster did


class StopOnBadLoss(TrainerCallback):
    """End the run when a training or evaluation loss is not finite: waiting would not change it."""

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Check every logged loss."""
        for name, value in kwargs["logs"].items():
            if name.endswith("loss") and not math.isfinite(value):
                raise UserError(
                    f"{name} is {value} at step {state.global_step}; lower --learning_rate or --init_scale."
                    " The last checkpoint is kept"
                )


class PullToStart(TrainerCallback):
    """After every step, move each weight by `strength` times the learning rate towards where it started.

    This is L2-SP (Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"),
    decoupled from the gradient as AdamW decouples weight decay.
    """

    def __init__(self, model: PreTrainedModel, strength: float) -> None:
        self.strength = strength
        self.pairs = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]

    @torch.no_grad()
    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pull, never past the start."""
        share = min(1.0, self.strength * kwargs["optimizer"].param_groups[0]["lr"])
        for weight, start in self.pairs:
            weight.lerp_(start.to(weight.device), share)


class StopWithoutProgress(EarlyStoppingCallback):
    """Stop after `--early_stopping_patience` evaluations without progress.

    Progress is a better metric or, while the metric has never changed (no answer can be read yet), a loss that is lower
    by a thousandth than all before.
    """

    def check_metric_value(self, args: Any, state: TrainerState, control: Any, metric_value: Any) -> None:
        """Count the evaluation that was just logged if it is no progress."""
        name = best_model_key(args.metric_for_best_model)
        *before, now = [entry for entry in state.log_history if name in entry]
        if all(entry[name] == now[name] for entry in before):
            is_progress = all(loss_of(now, name) < 0.999 * loss_of(entry, name) for entry in before)
        else:
            is_better = operator.gt if args.greater_is_better else operator.lt
            is_progress = all(is_better(now[name], entry[name]) for entry in before)
        self.early_stopping_patience_counter = 0 if is_progress else self.early_stopping_patience_counter + 1


class KeepBest(TrainerCallback):
    """After every checkpoint, delete all but the best and the newest, and some in even distances. Main process only.

    Args:
        count: How many of the best are kept (`--keep_best`), and then none for their distance; None: one.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Finish deletions that a kill interrupted."""
        RunFolder(Path(args.output_dir or ".")).delete_leftovers()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Delete checkpoints that nothing asks for."""
        run = RunFolder(Path(args.output_dir or "."))
        steps = run.checkpoint_folders
        greater = bool(args.greater_is_better)
        kept = {*best_steps(state.log_history, args.metric_for_best_model, greater, self.count or 1), max(steps)}
        if self.count is None:  # the first, for a start; of later times, too, the nearest there is
            times = [state.max_steps * part / _DISTANCES for part in range(_DISTANCES + 1)]
            kept |= {min(steps, key=lambda step: abs(step - time)) for time in times}
        for step, path in steps.items():
            if step not in kept and path.name != Path(state.best_model_checkpoint or "").name:
                run.delete_checkpoint(step)


class SaveOnTermination(TrainerCallback):
    """On SIGTERM (pre-emption by a cluster), save a checkpoint at the end of the step and exit with code 143.

    In an evaluation it is saved at its end. A second SIGTERM, more than five seconds later, ends the run at once.
    Several processes agree at every logging step, so that all save together.
    """

    def __init__(self) -> None:
        self.asked, self._asked_s = False, 0.0
        self._before: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Install the handler: SIGTERM only sets a flag."""
        self._before = signal.signal(signal.SIGTERM, self._ask)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save if asked to."""
        control.should_save = control.should_save or self._agreed(args, state)

    on_evaluate = on_step_end

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Exit now that the checkpoint is complete."""
        if self._agreed(args, state):
            PartialState().wait_for_everyone()  # as at the end of `session.train`
            raise SystemExit(128 + signal.SIGTERM)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the handler: outside training there is nothing to save."""
        signal.signal(signal.SIGTERM, self._before)

    def _ask(self, signum: int, frame: Any) -> None:
        if not self.asked:
            self.asked, self._asked_s = True, time.monotonic()
        elif time.monotonic() - self._asked_s > _ECHO_S:
            raise SystemExit(128 + signum)

    def _agreed(self, args: TrainingArguments, state: TrainerState) -> bool:
        if PartialState().num_processes == 1:
            return self.asked
        if state.global_step % max(1, int(args.logging_steps)):
            return False
        self.asked = any(gather_object([self.asked]))
        return self.asked
