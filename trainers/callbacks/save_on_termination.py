"""Runs that end otherwise than by themselves: SIGTERM saves a checkpoint first; a kill is noticed at the next start."""

import signal
import time
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_ECHO_S = 5.0  # a launcher that is told to end tells its processes again, a moment after the cluster did


class SaveOnTermination(TrainerCallback):
    """SIGTERM in training (a cluster's pre-emption): a checkpoint at the end of the step, then exit code 143.

    In an evaluation it is saved at its end. A second SIGTERM, more than five seconds later, ends the run at once.
    Several processes agree at every logging step, so that all save together.
    """

    def __init__(self) -> None:
        self.asked, self._asked_s = False, 0.0
        self._before: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """From here on the signal only asks."""
        self._before = signal.signal(signal.SIGTERM, self._ask)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save if asked to."""
        control.should_save = control.should_save or self._agreed(args, state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save if asked to meanwhile, not a step later."""
        self.on_step_end(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The checkpoint is whole: end."""
        if self._agreed(args, state):
            PartialState().wait_for_everyone()  # as at the end of `session.train`
            raise SystemExit(128 + signal.SIGTERM)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Outside training there is nothing to save: the next signal ends the run at once."""
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
