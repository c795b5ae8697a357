"""Load what a run has trained: its weights after any of its steps, in the trainer that evaluates them."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_utils import IntervalStrategy

from trainers.base import WorldTrainer, build_rows
from trainers.common import environment
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.folders.run_folder import RunFolder
from trainers.models.warm_start import load_model
from trainers.registry import load as load_task
from trainers.settings.request import read_request
from trainers.settings.resolve import Settings, resolve_settings


def dataset_options(run: RunFolder) -> type:
    """Return the options class of a run's task, with the values of the run's dataset as defaults.

    Raises:
        UserError: the run has not started, or its dataset is gone.
    """
    options, own = run.task.options, dataset_folder.read_metadata(run.dataset, run.task.name)["options"]
    fields = [
        (item.name, item.type, dataclasses.field(default=own.get(item.name, item.default), metadata=item.metadata))
        for item in dataclasses.fields(options)
    ]
    return dataclasses.make_dataclass(options.__name__, fields, bases=(options,))


def dataset_of(run: RunFolder, folder: str | None, options: Any) -> StoredDataset:
    """Return the dataset in a folder, or the one for these options: the run's own, or another that is built.

    Raises:
        UserError: both are given, or it cannot be loaded or built.
    """
    task = run.task
    changed = [name for name, value in vars(options).items() if value != getattr(type(options)(), name)]
    if folder and changed:
        raise UserError(
            f"--dataset {folder} is taken as it is, so --{', --'.join(changed)} would do nothing; leave it out"
        )
    if folder or not changed:
        return dataset_folder.load(Path(os.path.expanduser(folder)) if folder else run.dataset, task.name)
    return dataset_folder.build_or_load(task, task.options(**vars(options)), environment.resolved_prefix())


def settings_of(run: RunFolder) -> Settings:
    """Return the settings of a run, to evaluate it; several processes know each other from here on.

    Raises:
        UserError: they cannot be read.
    """
    settings = resolve_settings(read_request([f"--resume_from_checkpoint={run.path}"], load_task))
    torch.set_num_threads(settings.run.threads or environment.share_of_cores())
    training = settings.training
    training.output_dir, training.report_to = str(environment.resolved_prefix()), []
    training.eval_strategy = IntervalStrategy.NO  # there is no training in which it could be due
    return settings


def load_trainer(settings: Settings, weights: Path, step: int, data: StoredDataset) -> WorldTrainer:
    """Return the trainer of a run with these weights, on a dataset; it evaluates as the run did, and is not trained.

    Raises:
        UserError: the weights do not fit the settings or the dataset.
    """
    transformers.utils.logging.disable_progress_bar()  # else every folder of weights shows a bar for its one file
    training = settings.training
    fresh = settings.task.load("build_model")(settings.model, data)
    model = load_model(str(weights), fresh, settings.model, typed=(), flag="checkpoint")
    if settings.run.stock_forward:
        model.stock_forward = True  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    rows = build_rows(settings.task, data, model, training.torch_compile)
    trainer = settings.task.load("trainer")(settings.task, data, rows, model, training, settings.run)
    trainer.state.global_step = step
    return trainer
