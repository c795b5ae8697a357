"""Keeping the best checkpoints instead of all (`--keep_best 3`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.common.metric_names import best_model_key
from trainers.folders.run_folder import RunFolder


class KeepBest(TrainerCallback):
    """After every checkpoint deletes all but the `count` best and the newest. Main process only."""

    def __init__(self, count: int) -> None:
        self.count = count

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finish what a kill may have interrupted."""
        RunFolder(Path(args.output_dir or ".")).delete_leftovers()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Delete what is neither among the best nor the newest."""
        run = RunFolder(Path(args.output_dir or "."))
        steps = run.checkpoint_folders
        kept = best_steps(state.log_history, args.metric_for_best_model, bool(args.greater_is_better), self.count)
        for step, path in steps.items():
            if step not in kept and step != max(steps) and str(path) != state.best_model_checkpoint:
                run.delete_checkpoint(step)


def best_steps(history: Sequence[Mapping[str, Any]], metric: str | None, greater: bool, count: int) -> set[int]:
    """The steps of the `count` best evaluations; of equal ones the earlier.

    Arguments:
        history: `trainer.state.log_history`. metric: the metric that chooses, with or without `eval_`.
    """
    name = best_model_key(str(metric))
    found = [(-entry[name] if greater else entry[name], entry["step"]) for entry in history if name in entry]
    return {step for _, step in sorted(found)[:count]}
