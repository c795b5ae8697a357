"""Make a resumed run follow its command: transformers restores the checkpoint's rates, cadence and paths instead."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from trainers.optim.schedules import set_hyperparameters

if TYPE_CHECKING:
    from trainers.base import WorldTrainer


class FollowSettings(TrainerCallback):
    """Give a resumed run the rates, decays, cadence and patience of its settings, and the checkpoints of its folder."""

    def __init__(self, trainer: "WorldTrainer", patience: int | None) -> None:
        self.trainer, self.patience = trainer, patience

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Act after the checkpoint was loaded, before the first step."""
        state.compute_steps(args, state.max_steps)
        locate_best_checkpoint(state, Path(str(args.output_dir)))
        states: Any = state.stateful_callbacks
        for callback in self.trainer.callback_handler.callbacks:
            if isinstance(callback, ExportableState):  # one that the checkpoint did not have cannot be saved else
                states.setdefault(type(callback).__name__, callback.state())
            if isinstance(callback, EarlyStoppingCallback) and self.patience:
                callback.early_stopping_patience = self.patience
            if isinstance(callback, LossSinceLog):
                callback.restore(self.trainer)
        before = max(group["lr"] for group in kwargs["optimizer"].param_groups)
        set_hyperparameters(kwargs["optimizer"], kwargs["lr_scheduler"], self.trainer.built_groups)
        after = max(group["lr"] for group in kwargs["optimizer"].param_groups)
        if abs(after - before) > 0.01 * before and state.is_world_process_zero:
            print(f"the learning rate goes on at {after:.3g} instead of {before:.3g}", flush=True)


class LossSinceLog(TrainerCallback, ExportableState):
    """Carry the losses since the last logged step over to a resumed run, whose next average then has all of them.

    Of several processes it keeps the losses of the main one.
    """

    def __init__(self, trainer: "WorldTrainer | None" = None) -> None:
        self.trainer: Any = trainer
        self.loss_sum, self.logged_step = None, None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        if not hasattr(self.trainer, "_tr_loss"):  # asked before the first step
            return {"args": {}, "attributes": {}}
        kept = {"loss_sum": self.trainer._tr_loss.item(), "logged_step": self.trainer._globalstep_last_logged}
        return {"args": {}, "attributes": kept}

    def restore(self, trainer: "WorldTrainer") -> None:
        """Give the trainer, which starts from zero, what the checkpoint kept."""
        self.trainer = trainer
        if self.loss_sum is not None:  # else the checkpoint is older than this class
            self.trainer._tr_loss.fill_(self.loss_sum)
            self.trainer._globalstep_last_logged = self.logged_step


def locate_best_checkpoint(state: TrainerState, folder: Path) -> None:
    """Point the state to the best checkpoint in `folder`: the run may have been moved or copied since it was saved."""
    best = folder / f"checkpoint-{state.best_global_step}"
    state.best_model_checkpoint = str(best) if best.is_dir() else None
