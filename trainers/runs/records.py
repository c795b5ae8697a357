"""Write and track a run's parameters, tags and settings at its start; results, card and model at its end."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from trainers.base import WorldTrainer
from trainers.common.environment import environment_text, peak_memory_gb
from trainers.common.metric_names import SPEEDS
from trainers.folders import cards
from trainers.folders.run_folder import RunFolder
from trainers.models.decoder import DecoderOptions
from trainers.models.other_decoders import size_of
from trainers.settings.identity import identity_of
from trainers.settings.resolve import Settings
from trainers.settings.resume_rules import Change
from trainers.tracking.tracker import Tracker

PARAMS = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "seed",
    "eval_steps",
    "save_steps",
    "bf16",
    "torch_compile",
)
"""The training arguments worth a column in MLflow; the complete set is in the artifact config/settings.json."""


def log_start(
    tracker: Tracker, settings: Settings, trainer: WorldTrainer, folder: RunFolder, changes: Sequence[Change]
) -> None:
    """Track parameters, tags, dataset and environment of a run; write `settings.json`."""
    tracker.params(_params(settings, trainer))
    tracker.tags({**_tags(settings, trainer, folder), **{f"drift.{change.name}": change.after for change in changes}})
    for change in changes:
        print(f"from step {change.step}: {change.name} is {change.after}, was {change.before}", flush=True)
    tracker.dataset(trainer.data)
    tracker.file(folder.write_settings(_settings(settings, trainer, folder, changes)), "config")
    if folder.diff:
        tracker.file(folder.diff, "config")
    tracker.text(environment_text(), "config/environment.txt")


def _params(settings: Settings, trainer: WorldTrainer) -> dict[str, Any]:
    training = settings.training.to_dict()
    return {
        **asdict(settings.dataset),
        **_sizes(settings, trainer),
        **{name: getattr(settings.run, name) for name in ("muon", "restart_epochs", "freeze", "l2_to_start", "grow")},
        **{name: training[name] for name in PARAMS},
        "loss_on": getattr(trainer.train_dataset, "loss_on", None),
        "compiled": _is_compiled(trainer),
        "parameters": trainer.unwrapped_model.num_parameters(),
        "world_size": settings.training.world_size,
    }


def _is_compiled(trainer: WorldTrainer) -> bool:
    return bool(getattr(trainer.unwrapped_model, "compiled_rows", 0))


def _sizes(settings: Settings, trainer: WorldTrainer) -> dict[str, Any]:
    """Return the options of the model; a model that training starts from brings its own."""
    config, options = trainer.unwrapped_model.config, settings.model
    if isinstance(options, DecoderOptions):  # an architecture may lack a size
        return {**{name: size_of(config, name) for name in asdict(options)}, "init_scale": options.init_scale}
    return {name: getattr(config, name, value) for name, value in asdict(options).items()}


def _tags(settings: Settings, trainer: WorldTrainer, folder: RunFolder) -> dict[str, Any]:
    task, data, start = settings.task, trainer.data, settings.run.init_from
    parent = RunFolder.of_model(Path(start)) if start else None
    return {
        "task": task.name,
        "mlflow.note.content": f"{task.summary}\n\n{task.card.strip()}",
        "package": task.package,
        "model_type": trainer.unwrapped_model.config.model_type,
        "dataset.folder": data.path.name,
        "dataset.train_sha256": data.metadata["splits"]["train"]["sha256"],
        "init_from": start,
        "parent_run_id": parent.run_id if parent else None,
        **folder.git,
    }


def _settings(
    settings: Settings, trainer: WorldTrainer, folder: RunFolder, changes: Sequence[Change]
) -> dict[str, Any]:
    """Return the content of `settings.json`."""
    data = trainer.data
    return {
        "dataset_folder": str(data.path),
        "dataset_sha256": {name: split["sha256"] for name, split in data.metadata["splits"].items()},
        "world_size": settings.training.world_size,
        "compiled": _is_compiled(trainer),
        "given": settings.request.as_given(),
        "changes": [*(folder.settings.get("changes", []) if folder.has_started else []), *map(asdict, changes)],
        "resolved": identity_of(settings.request),
        "launcher": {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")},
        "model": _sizes(settings, trainer),
        "training": settings.training.to_dict(),
    }


def write_results(
    tracker: Tracker, settings: Settings, trainer: WorldTrainer, folder: RunFolder, results: Mapping[str, float]
) -> None:
    """Write `results.json` and the model card, and track them with the saved model."""
    state = trainer.state
    results = {n: v for n, v in results.items() if not n.endswith(SPEEDS)}
    peaks_gb = _peaks_gb(trainer)
    tracker.metrics(
        {f"timings/peak_{name.replace(' ', '_')}_gb": peak_gb for name, peak_gb in peaks_gb.items()}, state.global_step
    )
    facts = {
        "command": f"`{folder.marker['command']}`",
        "MLflow run": tracker.run_id,
        "best checkpoint": Path(state.best_model_checkpoint or "last").name,
        "started from": settings.run.init_from,
        "growing world": settings.run.grow,
        **{f"peak {name}": f"{peak_gb:.1f} GB" for name, peak_gb in peaks_gb.items()},
        "transformers": transformers.__version__,
        **folder.git,
    }
    card = cards.model_card(folder.path.name, settings.task, trainer.unwrapped_model, trainer.data, results, facts)
    tracker.file(folder.write_card(card))
    _log_model(tracker, trainer, folder.path)
    best = Path(state.best_model_checkpoint).name if state.best_model_checkpoint else None
    steps = {"best_checkpoint": best, "kept_step": trainer.kept_step, "steps": state.global_step}
    tracker.file(folder.write_results({**results, **steps}))  # the last file: a run that has it is finished


def _peaks_gb(trainer: WorldTrainer) -> dict[str, float]:
    """Return the most memory that the first process had since its start, the imports among it, and its GPU's."""
    peaks_gb, device = {"memory": peak_memory_gb()}, trainer.args.device
    if device.type == "cuda":
        peaks_gb["GPU memory"] = torch.cuda.max_memory_allocated(device) / 1e9
    return peaks_gb


def _log_model(tracker: Tracker, trainer: WorldTrainer, folder: Path) -> None:
    """Log a text model in MLflow's own form, any other as the files of its folder."""
    if trainer.processing_class is not None:
        saved = transformers.AutoModelForCausalLM.from_pretrained(folder)  # complete, also where FSDP cut it up
        processor: Any = trainer.processing_class
        tracker.model(saved, processor, trainer.kept_step, folder.name)
        return
    for name in ("config.json", "model.safetensors"):
        tracker.file(folder / name, "model")
