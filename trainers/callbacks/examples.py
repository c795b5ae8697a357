"""Small callbacks, one purpose each: stop on a bad loss, pull to the start, progress, examples, pictures."""

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.base import WorldTrainer
from trainers.callbacks.evaluated_split import REFERENCE_PREFIXES, evaluated_split
from trainers.common.tables import format_number
from trainers.contract import Evaluation
from trainers.tracking.tracker import Tracker


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


def _beside(name: str, found: Mapping[str, float]) -> str:
    """What a metric is to be compared with: `baseline_x`, or several with a word each, `baseline_copy_x`."""
    texts = []
    for prefix, title in zip(REFERENCE_PREFIXES, ("trivial baseline", "beside it"), strict=True):
        ends = [key for key in found if key.startswith(prefix) and key.endswith(f"_{name}")]
        words = {
            key.removeprefix(prefix).removesuffix(name).rstrip("_"): format_number(float(found[key])) for key in ends
        }
        named = [f"{word} {value}" for word, value in words.items() if word and "_" not in word]
        shown = named or [value for word, value in words.items() if not word]
        texts += [f"{title} {', '.join(shown)}"] if shown else []
    return f"   ({'; '.join(texts)})" if texts else ""


def _evaluation_text(title: str, step: int, metrics: Mapping[str, float], assessment: Evaluation) -> str:
    """Metrics, each with its trivial baseline beside it, and the first examples."""
    found = assessment.metrics
    lines = [f"\n{title} at step {step}: loss {format_number(metrics[f'{title}_loss'])}"]
    for name, value in found.items():
        if not name.startswith(REFERENCE_PREFIXES):
            lines.append(f"  {name:<24}{format_number(float(value)):>8}{_beside(name, found)}")
    for example in zip(*assessment.samples.values(), strict=True):
        shown = "   ".join(f"{n} {format_number(v)}" for n, v in zip(assessment.samples, example, strict=True))
        lines.append(f"    {shown}")
    return "\n".join(lines)
