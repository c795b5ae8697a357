"""Settings that depend on the data and the model, and what about a run cannot work, found before it starts."""

import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerState, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from trainers import guards
from trainers.arguments import Settings
from trainers.base import WorldTrainer
from trainers.callbacks import BESIDE
from trainers.checkpoints import STATE, damage_of
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError
from trainers.studies import results_of


def set_cadence(settings: Settings, n_rows: int) -> None:
    """Turn evaluations and checkpoints per epoch into whole steps (at least 1; checkpoints fall on evaluations)."""
    run, training = settings.run, settings.training
    steps_per_epoch = _steps_per_epoch(training, n_rows)
    if run.evals_per_epoch:
        training.eval_steps = max(1, round(steps_per_epoch / run.evals_per_epoch))
    eval_steps = int(training.eval_steps or 1)
    save_steps = steps_per_epoch / run.saves_per_epoch if run.saves_per_epoch else training.save_steps
    if training.eval_strategy == "steps" and save_steps >= 1:
        if eval_steps == 0:
            raise UserError(
                f"--eval_steps {training.eval_steps} is a share of the run, which does not go with --saves_per_epoch or"
                " --save_steps of 1 or more; give --evals_per_epoch or whole --eval_steps"
            )
        training.save_steps = eval_steps * max(1, math.ceil(round(save_steps) / eval_steps))


def _steps_per_epoch(training: TrainingArguments, n_rows: int) -> int:
    batch = training.per_device_train_batch_size * training.world_size * training.gradient_accumulation_steps
    return math.ceil(n_rows / batch)


def choose_best_metric(settings: Settings, evaluated: list[str]) -> None:
    """Best checkpoint: the task's primary metric on the first evaluated split, unless the user chose another."""
    training, task = settings.training, settings.task
    if settings.run.early_stopping_patience and (not evaluated or training.eval_strategy == "no"):
        reason = "--eval_strategy is no" if evaluated else "this dataset has none; ask the builder for validation rows"
        raise UserError(f"--early_stopping_patience needs an evaluated split, and {reason}")
    if not evaluated:
        training.load_best_model_at_end, training.eval_strategy, training.eval_on_start = False, "no", False
    elif settings.given("metric_for_best_model") is None:
        training.metric_for_best_model = f"eval_{evaluated[0]}_{task.primary_metric}"
        training.greater_is_better = task.greater_is_better


def check_launcher(trainer: WorldTrainer) -> None:
    """FSDP must be told which blocks it cuts up, and all processes must go through them together."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and not trainer.network._no_split_modules:
        raise UserError(
            f"the launcher asks for FSDP, which the model of task {trainer.task.name} does not support; launch it with"
            " configs/accelerate/ddp.yaml"
        )


def check_best_metric(settings: Settings, trainer: WorldTrainer, evaluated: list[str]) -> None:
    """The metric that the user chose must be reported, and better must be known; one row is assessed to see."""
    training, task, data = settings.training, settings.task, trainer.data
    split = evaluated[0]
    trainer.network.eval()
    trainer.data = replace(data, splits={split: data.splits[split].select([0])})
    metrics = [name for name in trainer.assess(trainer.rows(split)).metrics if not name.startswith(BESIDE)]
    trainer.data = data
    chosen = str(training.metric_for_best_model)
    known = [f"eval_{split}_{name}" for split in evaluated for name in ("loss", *metrics)]
    if f"eval_{chosen.removeprefix('eval_')}" not in known:
        raise UserError(f"--metric_for_best_model {chosen} is not among what is evaluated: {', '.join(known)}")
    if chosen.endswith(f"_{task.primary_metric}"):
        training.greater_is_better = task.greater_is_better
    elif not chosen.endswith("loss") and settings.given("greater_is_better") is None:
        raise UserError(f"--metric_for_best_model {chosen} needs --greater_is_better true (or false) beside it")


def check_reporters(training: TrainingArguments) -> None:
    """Other trackers must be installed, and MLflow is not one of them.

    Raises:
        UserError: a tracker that cannot be used.
    """
    reporters: Any = training.report_to  # a list by now
    if "mlflow" in reporters:
        raise UserError("--report_to mlflow would record the run twice: every run is tracked by MLflow; leave it out")
    try:
        for reporter in get_reporting_integration_callbacks(reporters):
            reporter()
    except (ValueError, RuntimeError, ImportError) as error:
        raise UserError(f"--report_to {' '.join(reporters)} cannot be used: {error}") from error


def make_probe(task: Task, data: StoredDataset, model: PreTrainedModel) -> Any:
    """The task's probe with its default options, for --probe.

    Raises:
        UserError: the task has none, or it cannot be fitted to this dataset or model.
    """
    if not task.probe:
        raise UserError(f"--probe: the task {task.name} declares no probe; leave it out")
    probe_class: Any = task.load("probe")
    return probe_class(probe_class.options(), data, int(model.config.num_hidden_layers))


def check_optimizer(trainer: WorldTrainer) -> None:
    """Optimizers and schedules that lack a package or an argument say so when they are made: before the run, here."""
    args, names = trainer.args, trainer.args.to_dict()
    if args.label_smoothing_factor and not trainer.smooths_labels:
        raise UserError(f"--label_smoothing_factor: {type(trainer).__name__} cannot do it; leave it out")
    if args.activation_checkpointing and not trainer.network.supports_gradient_checkpointing:
        raise UserError(f"--activation_checkpointing: {type(trainer.network).__name__} cannot do it; leave it out")
    if trainer.run.group_by_length and not hasattr(trainer.train_dataset, "length_N"):
        raise UserError("--group_by_length: the rows of this task do not say how long they are; leave it out")
    kwargs: Any = args.lr_scheduler_kwargs
    tried = f"--optim {names['optim']}"
    try:
        trainer.get_optimizer_cls_and_kwargs(args, trainer.network)
        tried = (
            f"--lr_scheduler_type {names['lr_scheduler_type']} with --lr_scheduler_kwargs {json.dumps(kwargs or {})}"
        )
        stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
        get_scheduler(args.lr_scheduler_type, stand_in, 0, 1, kwargs)
    except Exception as error:  # each has kinds of its own
        raise UserError(f"{tried} cannot be used: {error}") from error


def check_resumable(checkpoint: Path, settings: Settings, model: PreTrainedModel, n_rows: int) -> None:
    """The checkpoint must be whole, of this task and of this model, and leave something to do.

    Raises:
        UserError: it is not so.
    """
    training, folder = settings.training, checkpoint.parent
    marker = guards.read_marker(folder)
    if marker["task"] != settings.task.name:
        raise UserError(f"{folder} is a run of the task {marker['task']}, not of {settings.task.name}")
    if damage := damage_of(checkpoint):
        raise UserError(
            f"{checkpoint} is damaged ({damage}); give --output_dir {folder} --resume_from_checkpoint last, which takes"
            " the newest one that is whole"
        )
    step = int(json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["global_step"])
    sizes = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    wrong = [n for n in asdict(settings.model) if sizes.get(n) != getattr(model.config, n, sizes.get(n))]
    if wrong:
        raise UserError(
            f"{checkpoint} is of a model with {', '.join(f'{n} {sizes.get(n)}' for n in wrong)}, but this command asks"
            f" for {', '.join(str(getattr(model.config, n)) for n in wrong)}; repeat the settings of the run"
        )
    asked = f"--max_steps {training.max_steps}"
    if training.max_steps <= 0:
        asked = f"--num_train_epochs {training.num_train_epochs:g}"
    if _total_steps(training, n_rows) <= step and _is_finished(folder, step):
        raise UserError(f"{checkpoint} is at step {step} already; {asked} leaves nothing to do")


def lacks_only_evaluation(checkpoint: Path, training: TrainingArguments, n_rows: int) -> bool:
    """Whether a run was trained to its end, or to where it was stopped early, and then cut off before its results."""
    state = TrainerState.load_from_json(str(checkpoint / STATE))
    callbacks: Any = state.stateful_callbacks
    asked_to_stop = callbacks.get("TrainerControl", {}).get("args", {}).get("should_training_stop", False)
    stopped_early = asked_to_stop and state.global_step < state.max_steps
    is_trained = stopped_early or state.global_step >= _total_steps(training, n_rows)
    return is_trained and not _is_finished(checkpoint.parent, state.global_step)


def _total_steps(training: TrainingArguments, n_rows: int) -> int:
    if training.max_steps > 0:
        return training.max_steps
    return math.ceil(training.num_train_epochs * _steps_per_epoch(training, n_rows))


def _is_finished(folder: Path, step: int) -> bool:
    """Whether the run has results of this step."""
    return (folder / "results.json").is_file() and results_of(folder).get("steps") == step
