"""Print and track the metrics and first examples of every evaluation."""

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.base import WorldTrainer
from trainers.common.metric_names import MetricName
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
        """Show the newest evaluation."""
        evaluation = self.trainer.last
        loss = (metrics or {})[MetricName(evaluation.stage, evaluation.split, "loss").logged]
        tqdm.write(_evaluation_text(evaluation, loss))
        sys.stdout.flush()
        name = f"samples/{evaluation.stage}_{evaluation.split}_step_{evaluation.step:07d}.json"
        self.tracker.table(evaluation.samples, name)


def _evaluation_text(evaluation: Evaluation, loss: float) -> str:
    """Metrics, each with what it is compared with, and the first examples."""
    title = f"{evaluation.stage}_{evaluation.split} at step {evaluation.step}"
    lines = [f"\n{title}: loss {format_number(loss)}"]
    if evaluation.entropy_bound is not None:
        lines[0] += f"   (entropy bound {format_number(evaluation.entropy_bound)})"
    for name, value in evaluation.metrics.items():
        lines.append(f"  {name:<24}{format_number(float(value)):>8}{_compared(name, evaluation)}")
    for example in zip(*evaluation.samples.values(), strict=True):
        shown = "   ".join(f"{n} {format_number(v)}" for n, v in zip(evaluation.samples, example, strict=True))
        lines.append(f"    {shown}")
    return "\n".join(lines)


def _compared(metric: str, evaluation: Evaluation) -> str:
    """The metric's baselines and references, in parentheses; a baseline without a name only if it is the only one."""
    texts = []
    for title, by_metric in (("trivial baseline", evaluation.baselines), ("reference", evaluation.references)):
        values = {name: format_number(float(value)) for name, value in by_metric.get(metric, {}).items()}
        named = [f"{name} {value}" for name, value in values.items() if name]
        texts += [f"{title} {', '.join(named or values.values())}"] if values else []
    return f"   ({'; '.join(texts)})" if texts else ""
