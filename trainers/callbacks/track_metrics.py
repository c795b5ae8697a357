"""Log every training and evaluation metric to MLflow."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.tracking.tracker import Tracker


class TrackMetrics(TrainerCallback):
    """Sends every logged number: `loss` as train/loss, `eval_val_x` as val/x, `final_val_x` as val_final/x."""

    def __init__(self, tracker: Tracker, splits: list[str]) -> None:
        self.tracker = tracker
        self.rules = [
            (f"{stage}_{split}_", f"{split}{end}/")  # so named, the page shows the curves first
            for split in splits
            for stage, end in (("eval", ""), ("final", "_final"))
        ]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queue the numbers under the step they belong to."""
        numbers = {n: v for n, v in (logs or {}).items() if isinstance(v, (int, float))}
        self.tracker.metrics({self._name(name): value for name, value in numbers.items()}, state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Make an evaluation visible at once."""
        self.tracker.flush()

    def _name(self, name: str) -> str:
        for start, replacement in self.rules:
            if name.startswith(start):
                return replacement + name.removeprefix(start)
        return f"train/{name.removeprefix('train_')}"
