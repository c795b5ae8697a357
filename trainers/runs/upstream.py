"""Private and fragile parts of transformers that a run needs, in one place.

Lower packages have a few more, each where it is used: the Trainer's sampler and gradient state (trainers/base.py), the
blocks of Qwen2 and Llama (trainers/models/), MLflow's tags (trainers/tracking/), fields read from source and argparse's
errors (trainers/settings/resolve.py). tests/test_upstream.py holds what is expected of all of them, so that a new
version fails with a list.
"""

from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_model
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SaveUntrained(TrainerCallback):
    """Save checkpoint-0, the starting point of every curve, when all splits were evaluated at step 0."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The first thing after the evaluation at the start; `Trainer` has no public way to save a checkpoint."""
        if args.eval_on_start and state.global_step == 0:
            self.trainer._save_checkpoint(cast(Any, self.trainer.model), trial=None)


def load_weights(model: PreTrainedModel, checkpoint: Path) -> None:
    """Load the weights of a checkpoint into a model that no launcher has wrapped."""
    load_model(model, checkpoint / "model.safetensors")


def was_stopped(state: TrainerState) -> bool:
    """Whether a callback had asked training to stop when the state was saved."""
    callbacks: Any = state.stateful_callbacks
    control = callbacks.get("TrainerControl", {})
    return bool(control.get("args", {}).get("should_training_stop", False))


def can_be_sharded(model: PreTrainedModel) -> bool:
    """Whether the model says which blocks FSDP may cut it up into."""
    return bool(model._no_split_modules)
