"""Settle the settings that depend on data: steps between evaluations, the metric that chooses the best checkpoint."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerState, TrainingArguments

from trainers.common.metric_names import EVAL, MetricName, best_model_key
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders.checkpoints import STATE, read_state
from trainers.folders.run_folder import RunFolder
from trainers.runs.upstream import was_stopped
from trainers.settings.resolve import Settings

_MOST_EVALUATIONS, _FAR_APART = 20, 100
"""Evaluations that a default asks for at most, unless so many steps lie between: else training takes less time."""


def settle(settings: Settings, data: StoredDataset, prefix: Path, checkpoint: Path | None) -> Settings:
    """Return the settings with those that depend on the data decided; nothing changes them afterwards.

    Args:
        checkpoint: The one from which a run is resumed.

    Raises:
        UserError: settings that do not go together, or not with this dataset.
    """
    n_rows = len(data.splits["train"])
    changes = {**_steps(settings, n_rows, checkpoint), **_best_checkpoint(settings, data.evaluated)}
    changes |= fitted_schedule(settings.training, total_steps(settings.training, n_rows))
    changes["output_dir"] = str(prefix)  # the Trainer creates the folder it is given; the run's own is claimed later
    if checkpoint:
        changes["eval_on_start"] = False  # the checkpoint's step was evaluated when it was written
    training = copy.copy(settings.training)  # `dataclasses.replace` would set up devices and processes once more
    for name, value in changes.items():
        setattr(training, name, value)
    return replace(settings, training=training)


def _steps(settings: Settings, n_rows: int, checkpoint: Path | None) -> dict[str, Any]:
    """Return evaluations and checkpoints per epoch in steps (at least 1; checkpoints fall on evaluations)."""
    run, training, changes = settings.run, settings.training, {}
    epoch_steps = steps_per_epoch(training, n_rows)
    if run.evals_per_epoch:
        changes["eval_steps"] = _eval_steps(settings, n_rows, checkpoint)
    given = changes.get("eval_steps", training.eval_steps)
    eval_steps = int(given or 1)
    save_steps = epoch_steps / run.saves_per_epoch if run.saves_per_epoch else training.save_steps
    if training.eval_strategy == "steps" and save_steps >= 1:
        if eval_steps == 0:
            raise UserError(
                f"--eval_steps {given} is a share of the run, which does not go with --saves_per_epoch or"
                " --save_steps of 1 or more; give --evals_per_epoch or whole --eval_steps"
            )
        changes["save_steps"] = eval_steps * max(1, math.ceil(round(save_steps) / eval_steps))
    return changes


def _eval_steps(settings: Settings, n_rows: int, checkpoint: Path | None) -> int:
    """Return evaluations per epoch in steps: as typed, as before in a resumed run, else not too many."""
    run, (_, source) = settings.run, settings.request.sources["evals_per_epoch"]
    asked = max(1, round(steps_per_epoch(settings.training, n_rows) / float(run.evals_per_epoch or 1)))
    if source == "command line" or (run.config and source not in ("stack", "task")):
        return asked
    if checkpoint:
        return int(read_state(checkpoint).get("eval_steps") or asked)
    return max(asked, min(_FAR_APART, math.ceil(total_steps(settings.training, n_rows) / _MOST_EVALUATIONS)))


def steps_per_epoch(training: TrainingArguments, n_rows: int) -> int:
    """Return the number of optimizer steps in which all rows come once."""
    batches = n_rows / (training.per_device_train_batch_size * training.world_size)
    batches = math.floor(batches) if training.dataloader_drop_last else math.ceil(batches)
    return max(1, math.ceil(batches / training.gradient_accumulation_steps))


def fitted_schedule(training: TrainingArguments, n_steps: int) -> dict[str, Any]:
    """Shorten warm-up and decay in proportion where the run has no room for them, and say so."""
    given: Any = training.lr_scheduler_kwargs
    kwargs: dict[str, Any] = dict(given or {})
    warmup, decay = training.get_warmup_steps(n_steps), int(kwargs.get("num_decay_steps", 0))
    if warmup + decay <= n_steps and (decay or warmup < n_steps):
        return {}
    share = n_steps / (warmup + (decay or warmup))  # a schedule without decay steps falls in the ones that are left
    changes: dict[str, Any] = {"warmup_steps": int(warmup * share)}
    if decay:
        changes["lr_scheduler_kwargs"] = {**kwargs, "num_decay_steps": n_steps - changes["warmup_steps"]}
    if PartialState().is_main_process:
        print(
            f"adjusted: --warmup_steps {changes['warmup_steps']} instead of {warmup}"
            + (f", num_decay_steps {n_steps - changes['warmup_steps']} instead of {decay}" if decay else "")
            + f", to fit into {n_steps} steps",
            flush=True,
        )
    return changes


def _best_checkpoint(settings: Settings, evaluated: list[str]) -> dict[str, Any]:
    """Choose it by the task's primary metric on the first evaluated split, unless another is given."""
    training, task, named = settings.training, settings.task, settings.given("metric_for_best_model")
    if settings.run.early_stopping_patience and (not evaluated or training.eval_strategy == "no"):
        reason = "--eval_strategy is no" if evaluated else "this dataset has none; ask the builder for validation rows"
        raise UserError(f"--early_stopping_patience needs an evaluated split, and {reason}")
    if not evaluated:
        return {"load_best_model_at_end": False, "eval_strategy": "no", "eval_on_start": False}
    primary = [MetricName(EVAL, split, task.primary_metric).logged for split in evaluated]
    chosen = primary[0] if named is None else best_model_key(named)
    return {"metric_for_best_model": chosen, "greater_is_better": task.greater_is_better} if chosen in primary else {}


def lacks_only_evaluation(checkpoint: Path, training: TrainingArguments, n_rows: int) -> bool:
    """Return whether a run was trained to its end, or stopped early, but ended before it wrote its results."""
    run, state = RunFolder(checkpoint.parent), TrainerState.load_from_json(str(checkpoint / STATE))
    stopped_early = was_stopped(state) and state.global_step < state.max_steps
    is_trained = stopped_early or state.global_step >= total_steps(training, n_rows)
    return is_trained and not run.is_finished_at(state.global_step)


def total_steps(training: TrainingArguments, n_rows: int) -> int:
    """Return the number of steps that a run is asked for."""
    if training.max_steps > 0:
        return training.max_steps
    return math.ceil(training.num_train_epochs * steps_per_epoch(training, n_rows))
