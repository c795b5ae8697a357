"""Show progress: a bar on a terminal, a line every few seconds elsewhere, a line per evaluation."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.base import WorldTrainer
from trainers.common.tables import format_number

_LINE_EVERY_S = 10.0  # without a terminal: at most one progress line in this time


class Progress(TrainerCallback):
    """A bar with loss, metric and time left on a terminal; plain lines elsewhere. Main process only."""

    def __init__(self, trainer: WorldTrainer) -> None:
        self.trainer = trainer
        self.bar: tqdm | None = None
        self.newest: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar where a resumed run stopped."""
        self.start_s, self.start_step, self.line_s = time.monotonic(), state.global_step, 0.0
        if sys.stderr.isatty():
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the newest loss and primary metric."""
        if "loss" in (logs or {}):
            self.newest["loss"] = (logs or {})["loss"]
        if self.bar is not None:
            self.bar.set_postfix({name: format_number(value) for name, value in self.newest.items()})
        elif "loss" in (logs or {}) and time.monotonic() - self.line_s > _LINE_EVERY_S:
            self.line_s = time.monotonic()
            print(self._line(state), flush=True)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remember the primary metric of the split that is evaluated in training."""
        evaluation, metric = self.trainer.last, self.trainer.task.primary_metric
        if [evaluation.split] == self.trainer.evaluated[:1]:
            self.newest[metric] = evaluation.metrics[metric]

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _line(self, state: TrainerState) -> str:
        done = state.global_step - self.start_step
        left_s = (time.monotonic() - self.start_s) / max(done, 1) * (state.max_steps - state.global_step)
        shown = "  ".join(f"{name} {format_number(value)}" for name, value in self.newest.items())
        share = state.global_step / max(state.max_steps, 1)
        return f"step {state.global_step}/{state.max_steps} ({share:.0%})  {shown}  {left_s / 60:.1f} min left"
