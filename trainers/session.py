"""One run from settings to finished folder: prepare everything, then claim the folder, then train and track."""

import json
import math
import os
import shlex
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError, safe_open
from transformers import EarlyStoppingCallback, PreTrainedModel, TrainingArguments, get_scheduler, set_seed
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from trainers import guards, records, storage
from trainers.arguments import Settings
from trainers.base import WorldTrainer
from trainers.callbacks import DrawFigures, Progress, ShowExamples, StopOnBadLoss
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.modeling import load_model, size_mismatches
from trainers.tracking import Tracker, TrackMetrics, git_state, tracked_run


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start; nothing has been written to its output folder yet."""

    settings: Settings
    plan: guards.Plan
    data: StoredDataset
    trainer: WorldTrainer


def prepare(settings: Settings, prefix: Path) -> Prepared:
    """Validate everything and build data, model and trainer.

    Raises:
        UserError: anything that would make the run fail or write where it must not.
    """
    task, run, training = settings.task, settings.run, settings.training
    name = training.run_name or Path(run.config or task.name).stem
    plan = guards.plan(prefix, name, _given(settings, "output_dir"), run.overwrite, training.resume_from_checkpoint)
    torch.set_num_threads(run.threads or _threads())
    transformers.utils.logging.disable_progress_bar()  # else every checkpoint shows a bar for its one file
    data = _dataset(settings, prefix)
    set_seed(training.seed)
    model = task.load("build_model")(settings.model, data)
    if run.init_from:
        model = load_model(run.init_from, model)
        typed = {name for name, (_, source) in settings.request.sources().items() if source == "command line"}
        if wrong := size_mismatches(model, settings.model, typed):
            raise UserError(f"--init_from {run.init_from} disagrees with --{', --'.join(wrong)}; leave these out")
    evaluated = [split for split in data.splits if split not in ("train", "test")]
    set_cadence(settings, len(data.splits["train"]))
    _choose_best_metric(settings, evaluated)
    training.output_dir = str(prefix)  # the Trainer creates the folder it is given; the run's own is claimed later
    if plan.checkpoint is not None:
        _check_resumable(plan.checkpoint, settings, model, len(data.splits["train"]))
    _check_reporters(training)
    trainer = task.load("trainer")(task, data, model, training, run.muon)
    _check_optimizer(trainer)
    if evaluated and _given(settings, "metric_for_best_model") is not None:
        _check_best_metric(settings, trainer, evaluated)
    return Prepared(settings, plan, data, trainer)


def train(prepared: Prepared) -> Path:
    """Claim the folder, train, evaluate the best model, save it with its card; return the folder."""
    settings, trainer, data = prepared.settings, prepared.trainer, prepared.data
    task, run = settings.task, settings.run
    is_main = PartialState().is_main_process
    folder, lock = _claim(prepared.plan, settings)
    trainer.args.output_dir = str(folder)
    marker = guards.read_marker(folder)
    try:
        with tracked_run(task.name, folder.name, marker.get("mlflow_run_id"), is_main) as tracker:
            if is_main:
                guards.write_json(folder / guards.MARKER, {**marker, "mlflow_run_id": tracker.run_id})
                records.log_start(tracker, prepared, folder)
            _add_callbacks(trainer, tracker, run.early_stopping_patience, list(data.splits))
            checkpoint = prepared.plan.checkpoint
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            results = _final_evaluation(trainer)
            trainer.network.config.use_cache = True  # the Trainer switches it off; who loads the model wants it
            trainer.save_model(str(folder))
            trainer.save_state()
            if is_main:
                records.write_results(tracker, prepared, folder, results)
    except (RuntimeError, SafetensorError) as error:
        if "inline_container" not in str(error) and "I/O error" not in str(error):
            raise  # only these two are how PyTorch and safetensors speak of a file
        raise UserError(
            f"a checkpoint in {folder} could not be written or read ({error}); if the disk is full, free space, then go"
            " on with --resume_from_checkpoint last"
        ) from error
    finally:
        if lock is not None:
            lock.release()
    return folder


def describe(prepared: Prepared) -> str:
    """What `--dry_run` shows: data, model size, settings with their origin, one row with its loss mask."""
    settings, data, model = prepared.settings, prepared.data, prepared.trainer.network
    lines = [
        f"task        {settings.task.name}: {settings.task.summary}",
        f"output      {prepared.plan.folder} ({prepared.plan.mode})",
        f"dataset     {data.path} ({', '.join(f'{n} {len(s):,} rows' for n, s in data.splits.items())})",
        f"model       {model.config.model_type}, {model.num_parameters():,} parameters",
        f"evaluation  every {settings.training.eval_steps:g} steps, checkpoint every {settings.training.save_steps:g}",
        "",
        "settings (others have transformers' defaults):",
    ]
    lines += [f"  {name:<30} {value:<24} {source}" for name, (value, source) in settings.request.sources().items()]
    lines += ["", "first training row:", prepared.trainer.describe_row("train", 0)]
    return "\n".join(lines)


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


def _dataset(settings: Settings, prefix: Path) -> StoredDataset:
    """The folder given by --dataset, or the one for the builder's options."""
    if not settings.run.dataset:
        return storage.build_or_load(settings.task, settings.dataset, prefix)
    sources = settings.request.sources()
    idle = [name for name in asdict(settings.dataset) if sources.get(name, ("", ""))[1] == "command line"]
    if idle:
        raise UserError(
            f"--dataset takes the folder as it is, so --{', --'.join(idle)} would do nothing; leave one out"
        )
    return storage.load(Path(settings.run.dataset).expanduser(), settings.task)


def _given(settings: Settings, name: str) -> str | None:
    found = settings.request.sources().get(name)
    return found[0] if found else None


def _threads() -> int:
    """This process's share of the cores it may use; a launcher's OMP_NUM_THREADS=1 would leave the others idle."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _choose_best_metric(settings: Settings, evaluated: list[str]) -> None:
    """Best checkpoint: the task's primary metric on the first evaluated split, unless the user chose another."""
    training, task = settings.training, settings.task
    if settings.run.early_stopping_patience and (not evaluated or training.eval_strategy == "no"):
        reason = "--eval_strategy is no" if evaluated else "this dataset has none; ask the builder for validation rows"
        raise UserError(f"--early_stopping_patience needs an evaluated split, and {reason}")
    if not evaluated:
        training.load_best_model_at_end, training.eval_strategy, training.eval_on_start = False, "no", False
    elif _given(settings, "metric_for_best_model") is None:
        training.metric_for_best_model = f"eval_{evaluated[0]}_{task.primary_metric}"
        training.greater_is_better = task.greater_is_better


def _check_best_metric(settings: Settings, trainer: WorldTrainer, evaluated: list[str]) -> None:
    """The metric that the user chose must be reported, and better must be known; one row is assessed to see."""
    training, task, data = settings.training, settings.task, trainer.data
    split = evaluated[0]
    trainer.network.eval()
    trainer.data = replace(data, splits={split: data.splits[split].select([0])})
    metrics = [name for name in trainer.assess(trainer.rows(split)).metrics if not name.startswith("baseline_")]
    trainer.data = data
    chosen = str(training.metric_for_best_model)
    known = [f"eval_{split}_{name}" for split in evaluated for name in ("loss", *metrics)]
    if f"eval_{chosen.removeprefix('eval_')}" not in known:
        raise UserError(f"--metric_for_best_model {chosen} is not among what is evaluated: {', '.join(known)}")
    if chosen.endswith(f"_{task.primary_metric}"):
        training.greater_is_better = task.greater_is_better
    elif not (
        chosen.endswith("loss") or {"greater_is_better", "no_greater_is_better"} & set(settings.request.sources())
    ):
        raise UserError(f"--metric_for_best_model {chosen} needs --greater_is_better true (or false) beside it")


def _check_reporters(training: TrainingArguments) -> None:
    reporters: Any = training.report_to  # a list by now
    if "mlflow" in reporters:
        raise UserError("--report_to mlflow would record the run twice: every run is tracked by MLflow; leave it out")
    try:
        for reporter in get_reporting_integration_callbacks(reporters):
            reporter()
    except (ValueError, RuntimeError, ImportError) as error:
        raise UserError(f"--report_to {' '.join(reporters)} cannot be used: {error}") from error


def _check_optimizer(trainer: WorldTrainer) -> None:
    """Optimizers and schedules that lack a package or an argument say so when they are made: before the run, here."""
    args = trainer.args
    try:
        trainer.get_optimizer_cls_and_kwargs(args, trainer.network)
        stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
        kwargs: Any = args.lr_scheduler_kwargs
        get_scheduler(args.lr_scheduler_type, stand_in, 0, 1, kwargs)
    except Exception as error:  # each has kinds of its own
        raise UserError(
            f"--optim {args.optim} or --lr_scheduler_type {args.lr_scheduler_type} cannot be used: {error}"
        ) from error


def _check_resumable(checkpoint: Path, settings: Settings, model: PreTrainedModel, n_rows: int) -> None:
    training, folder = settings.training, checkpoint.parent
    marker = guards.read_marker(folder)
    if marker["task"] != settings.task.name:
        raise UserError(f"{folder} is a run of the task {marker['task']}, not of {settings.task.name}")
    try:
        step = int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])
        sizes = dict(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
        with safe_open(checkpoint / "model.safetensors", "pt"):
            pass
        for name in ("optimizer.pt", "scheduler.pt"):
            if (checkpoint / name).exists() and not zipfile.is_zipfile(checkpoint / name):
                raise ValueError(f"{name} is cut off")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{checkpoint} is damaged ({error}); delete it and resume from the one before") from error
    wrong = [n for n in asdict(settings.model) if sizes.get(n) != getattr(model.config, n, sizes.get(n))]
    if wrong:
        raise UserError(
            f"{checkpoint} is of a model with {', '.join(f'{n} {sizes.get(n)}' for n in wrong)}, but this command asks"
            f" for {', '.join(str(getattr(model.config, n)) for n in wrong)}; repeat the settings of the run"
        )
    asked = f"--max_steps {training.max_steps}"
    steps = training.max_steps
    if steps <= 0:
        asked = f"--num_train_epochs {training.num_train_epochs:g}"
        steps = math.ceil(training.num_train_epochs * _steps_per_epoch(training, n_rows))
    if steps <= step:
        raise UserError(f"{checkpoint} is at step {step} already; {asked} leaves nothing to do")


def _claim(plan: guards.Plan, settings: Settings) -> tuple[Path, Any]:
    """The main process claims the folder; the others learn its name."""
    state = PartialState()
    state.wait_for_everyone()  # every process has made its plan before the folder exists
    folder, lock = plan.folder, None
    if state.is_main_process:
        marker = {"task": settings.task.name, "command": shlex.join(sys.argv), **git_state()}
        folder, lock = guards.claim(plan, marker)
    names = [str(folder)]
    if state.num_processes > 1:
        broadcast_object_list(names)
    return Path(names[0]), lock


def _add_callbacks(trainer: WorldTrainer, tracker: Tracker, patience: int | None, splits: list[str]) -> None:
    trainer.add_callback(StopOnBadLoss())
    if patience:
        trainer.add_callback(EarlyStoppingCallback(patience))
    if PartialState().is_main_process:
        trainer.add_callback(TrackMetrics(tracker, splits))
        trainer.add_callback(ShowExamples(trainer, tracker))
        trainer.add_callback(DrawFigures(trainer, tracker))
        trainer.add_callback(Progress(str(trainer.args.metric_for_best_model), trainer.task.primary_metric))


def _final_evaluation(trainer: WorldTrainer) -> Mapping[str, float]:
    """Evaluate the model that is kept (the best one) on every split but train; `test` is seen only here."""
    trainer.remove_callback(EarlyStoppingCallback)
    splits = {name: trainer.rows(name) for name in trainer.data.splits if name != "train"}
    return trainer.evaluate(splits, metric_key_prefix="final") if splits else {}  # pyright: ignore
