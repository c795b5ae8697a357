"""Log every training and evaluation metric to MLflow."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.common.metric_names import tracked_name
from trainers.tracking.tracker import Tracker


class TrackMetrics(TrainerCallback):
    """Sends every logged number to MLflow, under the name that it has there."""

    def __init__(self, tracker: Tracker, splits: list[str]) -> None:
        self.tracker, self.splits = tracker, splits

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
        self.tracker.metrics({tracked_name(name, self.splits): v for name, v in numbers.items()}, state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Make an evaluation visible at once."""
        self.tracker.flush()
