"""Load what a run has trained: its weights after any of its steps, in the trainer that evaluates them."""

from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel
from transformers.trainer_utils import IntervalStrategy

from trainers.base import WorldTrainer, build_rows
from trainers.common import environment
from trainers.common.files import read_json
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.models.warm_start import load_model
from trainers.registry import load as load_task
from trainers.runs.inputs import choose_pass
from trainers.settings.request import read_request
from trainers.settings.resolve import Settings, resolve_settings


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
    _check_context(fresh, weights, data)
    model = load_model(str(weights), fresh, settings.model, typed=(), flag="checkpoint")
    choose_pass(model, settings.run.stock_forward)
    rows = build_rows(settings.task, data, model, training.torch_compile)
    trainer = settings.task.load("trainer")(settings.task, data, rows, model, training, settings.run)
    trainer.state.global_step = step
    return trainer


def _check_context(fresh: PreTrainedModel, weights: Path, data: StoredDataset) -> None:
    """Raise a `UserError` if the dataset has rows that are longer than the context of the model to be evaluated."""
    needed = getattr(fresh.config, "max_position_embeddings", None)
    config = read_json(weights / "config.json", "restore it, or give another --checkpoint")
    context = config.get(fresh.config.attribute_map.get("max_position_embeddings", "max_position_embeddings"))
    if isinstance(needed, int) and isinstance(context, int) and needed > context:
        raise UserError(
            f"the longest row of {data.path} needs a context of {needed} tokens, the model in {weights} has {context};"
            " evaluate it on a dataset with shorter rows, or train a model on one with such rows"
        )
