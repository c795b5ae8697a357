"""Small callbacks, one purpose each: stop on a bad loss, pull to the start, progress, examples, pictures."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers import figures
from trainers.base import WorldTrainer
from trainers.contract import Assessment
from trainers.errors import UserError
from trainers.tracking import Tracker

_LINE_EVERY_S = 10.0  # without a terminal: at most one progress line in this time


class StopOnBadLoss(TrainerCallback):
    """Ends the run when a loss, of training or of an evaluation, is not finite: waiting would not mend it."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check every logged loss."""
        bad = [(n, v) for n, v in (logs or {}).items() if n.endswith("loss") and not math.isfinite(v)]
        if bad:
            raise UserError(
                f"{bad[0][0]} is {bad[0][1]} at step {state.global_step}; lower --learning_rate or --init_scale."
                " The last checkpoint is kept"
            )


class PullToStart(TrainerCallback):
    """After every step, moves each weight by `strength` times the learning rate towards where it started.

    That is L2-SP (Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"),
    decoupled from the gradient as AdamW decouples weight decay.
    """

    def __init__(self, network: PreTrainedModel, strength: float) -> None:
        self.strength = strength
        self.pairs = [(p, p.detach().clone()) for p in network.parameters() if p.requires_grad]

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pull, never past the start."""
        share = min(1.0, self.strength * kwargs["optimizer"].param_groups[0]["lr"])
        for weight, start in self.pairs:
            weight.lerp_(start.to(weight.device), share)


class Progress(TrainerCallback):
    """A bar with loss, metric and time left on a terminal; plain lines elsewhere. Main process only."""

    def __init__(self, metric: str, label: str) -> None:
        self.metric, self.label = metric, label  # `eval_memorisation_haversine_km_mean`, and how it is shown
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
        """Show the newest loss and metric."""
        for name, value in (logs or {}).items():
            if name == "loss" or name == self.metric:
                self.newest["loss" if name == "loss" else self.label] = value
        if self.bar is not None:
            self.bar.set_postfix({name: plain(value) for name, value in self.newest.items()})
        elif "loss" in (logs or {}) and time.monotonic() - self.line_s > _LINE_EVERY_S:
            self.line_s = time.monotonic()
            print(self._line(state), flush=True)

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
        shown = "  ".join(f"{name} {plain(value)}" for name, value in self.newest.items())
        share = state.global_step / max(state.max_steps, 1)
        return f"step {state.global_step}/{state.max_steps} ({share:.0%})  {shown}  {left_s / 60:.1f} min left"


class ShowExamples(TrainerCallback):
    """Prints an evaluation's metrics and first examples, and tracks the examples as a table."""

    def __init__(self, trainer: WorldTrainer, tracker: Tracker) -> None:
        self.trainer, self.tracker = trainer, tracker

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the split whose metrics came last."""
        prefix, split = evaluated_split(metrics or {}, self.trainer)
        assessment = self.trainer.assessments[split]
        tqdm.write(_evaluation_text(prefix.rstrip("_"), state.global_step, metrics or {}, assessment))
        sys.stdout.flush()
        self.tracker.table(assessment.samples, f"samples/{prefix}step_{state.global_step:07d}.json")


class DrawFigures(TrainerCallback):
    """Redraws summary.png and the task's own figures in the output folder, and tracks them.

    Both are of the split that is evaluated in training; figures of another split (test) bear its name.
    """

    def __init__(self, trainer: WorldTrainer, tracker: Tracker) -> None:
        self.trainer, self.tracker = trainer, tracker

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Draw for the split whose metrics came last."""
        _, split = evaluated_split(metrics or {}, self.trainer)
        task, assessment = self.trainer.task, self.trainer.assessments[split]
        folder = Path(args.output_dir or ".")
        baseline = assessment.metrics.get(f"baseline_{task.primary_metric}")
        drawn = {
            "summary.png": lambda: figures.summary_figure(
                state.log_history, split, task.primary_metric, self.trainer.summary, assessment.values, baseline
            ),
            **assessment.figures,
        }
        if split != next(iter(self.trainer.evaluated), split):
            drawn = {f"{split}_{name}": draw for name, draw in assessment.figures.items()}
        for name, draw in drawn.items():
            figures.save(draw(), folder / name)
            self.tracker.file(folder / name, "figures")


def evaluated_split(metrics: Mapping[str, float], trainer: WorldTrainer) -> tuple[str, str]:
    """The prefix (`eval_memorisation_`) and split (`memorisation`) that an evaluation's metrics belong to."""
    prefix = next(name.removesuffix("loss") for name in metrics if name.endswith("_loss"))
    split = next(split for split in trainer.assessments if prefix.endswith(f"_{split}_"))
    return prefix, split


def plain(value: Any) -> str:
    """A number as people write it: 12,345, 123, 1.23, 0.00123; other values as they are."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


BESIDE = ("baseline_", "reference_")
"""Metrics whose names begin so are shown in parentheses behind the metric they belong to."""


def _beside(name: str, found: Mapping[str, float]) -> str:
    """What a metric is to be compared with: `baseline_x`, or several with a word each, `baseline_copy_x`."""
    texts = []
    for prefix, title in zip(BESIDE, ("trivial baseline", "beside it"), strict=True):
        ends = [key for key in found if key.startswith(prefix) and key.endswith(f"_{name}")]
        words = {key.removeprefix(prefix).removesuffix(name).rstrip("_"): plain(float(found[key])) for key in ends}
        named = [f"{word} {value}" for word, value in words.items() if word and "_" not in word]
        shown = named or [value for word, value in words.items() if not word]
        texts += [f"{title} {', '.join(shown)}"] if shown else []
    return f"   ({'; '.join(texts)})" if texts else ""


def _evaluation_text(title: str, step: int, metrics: Mapping[str, float], assessment: Assessment) -> str:
    """Metrics, each with its trivial baseline beside it, and the first examples."""
    found = assessment.metrics
    lines = [f"\n{title} at step {step}: loss {plain(metrics[f'{title}_loss'])}"]
    for name, value in found.items():
        if not name.startswith(BESIDE):
            lines.append(f"  {name:<24}{plain(float(value)):>8}{_beside(name, found)}")
    for example in zip(*assessment.samples.values(), strict=True):
        shown = "   ".join(f"{n} {plain(v)}" for n, v in zip(assessment.samples, example, strict=True))
        lines.append(f"    {shown}")
    return "\n".join(lines)
