"""Refuse before it starts what cannot work in a run."""

import itertools
import json
from dataclasses import replace
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint as recomputed
from transformers import TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from trainers.base import WorldTrainer, build_rows
from trainers.common.environment import asks_for_fsdp
from trainers.common.metric_names import EVAL, MetricName, best_model_key
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.runs import upstream
from trainers.settings.resolve import Settings


def check_settings(settings: Settings, data: StoredDataset) -> None:
    """Refuse settings that do not fit the data or this machine.

    Raises:
        UserError: a flag cannot be used.
    """
    _check_reporters(settings.training)
    _check_passed_on(settings.training)
    for split, rows in data.splits.items() if settings.training.dataloader_drop_last else ():
        kind = "train" if split == "train" else "eval"
        batch = getattr(settings.training, f"{kind}_batch_size") * settings.training.world_size
        if len(rows) < batch:
            raise UserError(
                f"--dataloader_drop_last leaves nothing of the split {split}: a batch has {batch} rows, the split"
                f" {len(rows)}; give a smaller --per_device_{kind}_batch_size"
            )


def check_trainer(settings: Settings, trainer: WorldTrainer) -> None:
    """Refuse settings that the task's trainer, its model or its metrics cannot follow.

    Raises:
        UserError: a flag or the launcher cannot be used.
    """
    args, model = trainer.args, trainer.unwrapped_model
    if asks_for_fsdp() and not upstream.can_be_sharded(model):
        raise UserError(
            f"the launcher asks for FSDP, which the model of task {settings.task.name} does not support; launch it with"
            " configs/accelerate/ddp.yaml"
        )
    if args.label_smoothing_factor and not trainer.smooths_labels:
        raise UserError(f"--label_smoothing_factor: {type(trainer).__name__} cannot do it; leave it out")
    if args.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise UserError(f"--activation_checkpointing: {type(model).__name__} cannot do it; leave it out")
    if trainer.run.group_by_length and not hasattr(trainer.train_dataset, "length_N"):
        raise UserError("--group_by_length: the rows of this task do not say how long they are; leave it out")
    if trainer.run.loss_on == "all" and not hasattr(trainer.train_dataset, "loss_on"):
        raise UserError("--loss_on all: the rows of this task are no prompts with answers; leave it out")
    _check_optimizer(trainer)
    if trainer.evaluated and settings.given("metric_for_best_model") is not None:
        _check_best_metric(settings, trainer)


def _check_passed_on(training: TrainingArguments) -> None:
    """Refuse what others would find wrong only at the first step, or change after it was settled."""
    if training.dataloader_persistent_workers and not training.dataloader_num_workers:
        raise UserError("--dataloader_persistent_workers: there are none; give --dataloader_num_workers")
    if "tpu_metrics_debug" in training.to_dict()["debug"]:
        raise UserError("--debug tpu_metrics_debug is for TPUs, on which nothing runs here; leave it out")
    accelerator: Any = training.accelerator_config
    if accelerator.gradient_accumulation_kwargs:
        raise UserError("--accelerator_config with gradient_accumulation_kwargs: give --gradient_accumulation_steps")
    kwargs: Any = training.activation_checkpointing_kwargs
    try:
        recomputed(torch.neg, torch.zeros(1), **{"use_reentrant": False, **(kwargs or {})})
    except (ValueError, TypeError) as error:
        raise UserError(f"--activation_checkpointing_kwargs {json.dumps(kwargs)} cannot be used: {error}") from error


def _check_reporters(training: TrainingArguments) -> None:
    """Other trackers must be installed, and MLflow is not one of them."""
    reporters: Any = training.report_to  # a list by now
    if "mlflow" in reporters:
        raise UserError("--report_to mlflow would record the run twice: every run is tracked by MLflow; leave it out")
    try:
        for reporter in get_reporting_integration_callbacks(reporters):
            reporter()
    except (ValueError, RuntimeError, ImportError) as error:
        names = " ".join(reporters)
        raise UserError(
            f"--report_to {names} cannot be used: {error} (`tensorboard` and `wandb` are extras)"
        ) from error


def _check_optimizer(trainer: WorldTrainer) -> None:
    """Make the optimizer and a schedule: those that lack a package or an argument fail only then."""
    args, names = trainer.args, trainer.args.to_dict()
    kwargs: Any = args.lr_scheduler_kwargs
    tried = f"--optim {names['optim']}"
    try:
        trainer.get_optimizer_cls_and_kwargs(args, trainer.unwrapped_model)
        tried = (
            f"--lr_scheduler_type {names['lr_scheduler_type']} with --lr_scheduler_kwargs {json.dumps(kwargs or {})}"
        )
        stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
        get_scheduler(args.lr_scheduler_type, stand_in, 0, 1, kwargs)
    except Exception as error:  # each has kinds of its own
        raise UserError(f"{tried} cannot be used: {error}") from error


def _check_best_metric(settings: Settings, trainer: WorldTrainer) -> None:
    """Refuse a metric that is not reported, or whose direction is not known; which are reported one example tells."""
    task, data = settings.task, trainer.data
    chosen = str(settings.training.metric_for_best_model)
    always = itertools.product(data.evaluated, ("loss", task.primary_metric))
    if best_model_key(chosen) in {MetricName(EVAL, name, metric).logged for name, metric in always}:
        return
    split, model = data.evaluated[0], trainer.unwrapped_model.eval()
    one = build_rows(task, replace(data, splits={split: data.splits[split].select([0])}), model)
    metrics = trainer.evaluate_split(one[split]).metrics
    known = {MetricName(EVAL, name, metric).logged: metric for name in data.evaluated for metric in ("loss", *metrics)}
    metric = known.get(best_model_key(chosen))
    if metric is None:
        raise UserError(f"--metric_for_best_model {chosen} is not among what is evaluated: {', '.join(known)}")
    if not metric.endswith("loss") and settings.given("greater_is_better") is None:
        raise UserError(f"--metric_for_best_model {chosen} needs --greater_is_better true (or false)")
