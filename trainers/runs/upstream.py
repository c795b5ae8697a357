"""Private and fragile parts of transformers that a run needs.

Lower packages use a few more, each in one place: the Trainer's sampler and gradient state (trainers/base.py), its sum
of losses (trainers/callbacks/resume.py), blocks of Qwen2 and Llama (trainers/models/), MLflow's tags
(trainers/tracking/), fields read from source and argparse's errors (trainers/settings/). tests/test_upstream.py states
what is expected of all, so that a new version fails with a list.
"""

from typing import Any, cast

from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerState, TrainingArguments


class SaveUntrained(TrainerCallback):
    """Save checkpoint-0, the starting point of every curve, when all splits were evaluated at step 0."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Save right after the evaluation at the start; `Trainer` has no public way to save a checkpoint."""
        if args.eval_on_start and state.global_step == 0:
            self.trainer._save_checkpoint(cast(Any, self.trainer.model), trial=None)


def was_stopped(state: TrainerState) -> bool:
    """Return whether a callback had asked training to stop when the state was saved."""
    callbacks: Any = state.stateful_callbacks
    control = callbacks.get("TrainerControl", {})
    return bool(control.get("args", {}).get("should_training_stop", False))


def can_be_sharded(model: PreTrainedModel) -> bool:
    """Return whether the model names the blocks into which FSDP may cut it."""
    return bool(model._no_split_modules)
