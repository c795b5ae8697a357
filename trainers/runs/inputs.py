"""Dataset, model and probe of a run, from its settings."""

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel, set_seed

from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.folders.run_dataset import how_to_restore
from trainers.folders.run_folder import RunFolder
from trainers.folders.sources import code_digest
from trainers.folders.worlds import check_world
from trainers.models.decoder import DecoderOptions
from trainers.models.other_decoders import idle_sizes
from trainers.models.warm_start import freeze, load_model
from trainers.probes.probe import Probe
from trainers.settings.resolve import Settings
from trainers.settings.run_options import HOW_TO_BUILD


def load_data(settings: Settings, prefix: Path, resumed: RunFolder | None = None) -> StoredDataset:
    """Load the folder given by `--dataset`, or that of the resumed run, or load or build one for the builder's options.

    Raises:
        UserError: options that a given dataset does not follow, or a dataset that cannot be built or read.
    """
    run = settings.run
    if resumed and "dataset" not in _typed(settings) and resumed.dataset.is_dir():
        return _taken(settings, resumed.dataset, how_to_restore(resumed))
    if run.dataset:
        return _taken(settings, Path(os.path.expanduser(run.dataset)))
    with PartialState().main_process_first() if run.rebuild else contextlib.nullcontext():
        rebuild = run.rebuild and PartialState().is_main_process
        return dataset_folder.build_or_load(settings.task, settings.dataset, prefix, rebuild, run.num_proc)


def _taken(settings: Settings, folder: Path, again: str = "") -> StoredDataset:
    """Load a dataset as it is: one that is given, or one that a resumed run was trained on (`again`: if it is lost)."""
    options, sources = asdict(settings.dataset), settings.request.sources
    idle = sorted(_typed(settings) & {*options, *HOW_TO_BUILD}) if settings.run.dataset else ["rebuild"]
    if settings.run.rebuild or (settings.run.dataset and idle):
        raise UserError(f"{folder} is taken as it is, so --{', --'.join(idle)} would do nothing; leave it out")
    data = dataset_folder.load(folder, settings.task.name, again=again)
    notes = []
    if data.metadata.get("code_sha256") != code_digest(settings.task):
        notes.append(f"note: {folder} was built by other code or libraries than today's; it is taken as it is")
    for name, value in options.items():
        own = data.metadata["options"].get(name, value)
        if own != value and name in sources:
            notes.append(f"adjusted: {name} is {own}, as in the dataset ({sources[name][1]} says {value})")
    if notes and PartialState().is_main_process:
        print("\n".join(notes), flush=True)
    return data


def build_model(settings: Settings, data: StoredDataset, checkpoint: Path | None) -> PreTrainedModel:
    """Build the task's model or load `--init_from`, with `--freeze` and `--stock_forward` applied.

    A resumed run loads its checkpoint instead, unless `--l2_to_start` needs the weights where training started.

    Raises:
        UserError: the model cannot be built or loaded, or one of the flags does not fit it.
    """
    run = settings.run
    set_seed(settings.training.seed)
    model = settings.task.load("build_model")(settings.model, data)
    if isinstance(settings.model, DecoderOptions):
        _check_sizes(settings, model)
    if run.init_from:
        start = run.init_from if checkpoint is None or run.l2_to_start else str(checkpoint)
        check_world("--init_from", start, data)
        model = load_model(start, model, settings.model, _typed(settings))
    if run.stock_forward and not hasattr(model, "stock_forward"):
        raise UserError(f"--stock_forward: {type(model).__name__} has no other pass; leave it out")
    choose_pass(model, run.stock_forward)
    if run.freeze:
        freeze(model, run.freeze)
    return model


def choose_pass(model: Any, stock_forward: bool) -> None:
    """Let a model use the passes of transformers for everything, in training, evaluation and prediction alike."""
    if stock_forward:
        model.stock_forward = True


def _check_sizes(settings: Settings, model: PreTrainedModel) -> None:
    """Refuse a size on the command line that the architecture does not have; say so of others."""
    kind, idle = settings.model.model_type, idle_sizes(model.config, settings.model)
    if typed := sorted(_typed(settings) & set(idle)):
        raise UserError(f"--{', --'.join(typed)}: the architecture {kind} does not follow it; leave it out")
    if idle and PartialState().is_main_process:
        print(f"note: the architecture {kind} does not follow {', '.join(idle)}", flush=True)


def build_probe(settings: Settings, data: StoredDataset, model: PreTrainedModel) -> Probe | None:
    """Build the task's probe with its default options if `--probe` is given.

    Raises:
        UserError: the task has none, or it cannot be fitted to this dataset or model.
    """
    task = settings.task
    if not settings.run.probe:
        return None
    if not task.probe:
        raise UserError(f"--probe: the task {task.name} declares no probe; leave it out")
    probe: type[Probe] = task.load("probe")
    return probe(probe.options(), task, data, int(model.config.num_hidden_layers))


def _typed(settings: Settings) -> set[str]:
    """Return the flags on the command line."""
    return {name for name, (_, source) in settings.request.sources.items() if source == "command line"}
