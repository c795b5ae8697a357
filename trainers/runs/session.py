"""One run from settings to finished folder: prepare everything, then claim the folder, then train and track."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers import EarlyStoppingCallback, TrainerState, set_seed

from trainers.base import WorldTrainer, build_rows
from trainers.callbacks.examples import ShowExamples
from trainers.callbacks.figures import DrawFigures
from trainers.callbacks.keep_best import KeepBest
from trainers.callbacks.probe_while_training import ProbeWhileTraining
from trainers.callbacks.progress import Progress
from trainers.callbacks.pull_to_start import PullToStart
from trainers.callbacks.save_on_termination import SaveOnTermination
from trainers.callbacks.stop_on_bad_loss import StopOnBadLoss
from trainers.callbacks.track_metrics import TrackMetrics
from trainers.common.environment import ROOT, git_state
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders import dataset_folder, output_dir
from trainers.folders.checkpoints import STATE
from trainers.folders.run_folder import RunFolder
from trainers.models.causal_lm import describe_pass
from trainers.models.warm_start import freeze, load_model, size_mismatches
from trainers.runs import checks, records
from trainers.runs.cadence import lacks_only_evaluation, settle
from trainers.runs.upstream import SaveUntrained, load_weights
from trainers.settings.resolve import Settings
from trainers.tracking.mlflow_store import open_store, tracked_run
from trainers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from trainers.probes.probe import Probe


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start; nothing has been written to its output folder yet."""

    settings: Settings
    plan: output_dir.Plan
    data: StoredDataset
    trainer: WorldTrainer
    probe: "Probe | None"


def prepare(settings: Settings, prefix: Path) -> Prepared:
    """Validate everything and build data, model and trainer.

    Raises:
        UserError: anything that would make the run fail or write where it must not.
    """
    task, run, training = settings.task, settings.run, settings.training
    name = training.run_name or Path(run.config or task.name).stem
    plan = output_dir.plan(prefix, name, settings.given("output_dir"), run.overwrite, training.resume_from_checkpoint)
    torch.set_num_threads(run.threads or _threads())
    transformers.utils.logging.disable_progress_bar()  # else every checkpoint shows a bar for its one file
    data = _dataset(settings, prefix)
    set_seed(training.seed)
    model = task.load("build_model")(settings.model, data)
    if run.init_from:
        model = load_model(run.init_from, model)
        typed = {name for name, (_, source) in settings.request.sources.items() if source == "command line"}
        if wrong := size_mismatches(model, settings.model, typed):
            raise UserError(f"--init_from {run.init_from} disagrees with --{', --'.join(wrong)}; leave these out")
    checks.choose_forward(model, run.stock_forward)
    if run.freeze:
        freeze(model, run.freeze)
    settings = settle(settings, data, prefix, plan.checkpoint is not None)
    training = settings.training
    if plan.checkpoint is not None:
        checks.check_resumable(plan.checkpoint, settings, model, len(data.splits["train"]))
    checks.check_reporters(training)
    checks.check_batches(training, data)
    rows = build_rows(task, data, model, training.torch_compile)
    trainer = task.load("trainer")(task, data, rows, model, training, run)
    checks.check_launcher(trainer)
    checks.check_optimizer(trainer)
    if data.evaluated and settings.given("metric_for_best_model") is not None:
        checks.check_best_metric(settings, trainer)
    probe = checks.make_probe(task, data, model) if run.probe else None
    return Prepared(settings, plan, data, trainer, probe)


def train(prepared: Prepared) -> Path:
    """Claim the folder, train, evaluate the best model, save it with its card; return the folder."""
    settings, trainer, task = prepared.settings, prepared.trainer, prepared.settings.task
    is_main = PartialState().is_main_process
    experiment_id = open_store(task.name) if is_main else None
    run, lock = _claim(prepared.plan, settings)
    folder, marker = run.path, run.marker
    trainer.args.output_dir = str(folder)
    try:
        with tracked_run(experiment_id, folder, marker.get("mlflow_run_id")) as tracker:
            if is_main:
                run.write_marker({**marker, "mlflow_run_id": tracker.run_id})
                records.log_start(tracker, settings, trainer, run)
                if words := _forward_pass(trainer):
                    print(words, flush=True)
            _add_callbacks(prepared, tracker)
            _train_on(trainer, prepared.plan.checkpoint)
            results = _final_evaluation(trainer)
            trainer.unwrapped_model.config.use_cache = True  # the Trainer switches it off; who loads the model wants it
            trainer.save_model(str(folder))
            trainer.save_state()
            if is_main:
                records.write_results(tracker, settings, trainer, run, results)
                print(f"done: {folder} (tracked: `mlflow ui` in {ROOT})", flush=True)
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
    # Else PyTorch complains, aborts, or waits for ever when several processes end: a gloo thread that still has a
    # tensor of the last exchange asks for the lock with which the interpreter waits for that very thread.
    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()
    return folder


def describe(prepared: Prepared) -> str:
    """What `--dry_run` shows: data, model size, settings with their origin, one row with its loss mask."""
    settings, data, model = prepared.settings, prepared.data, prepared.trainer.unwrapped_model
    lines = [
        f"task        {settings.task.name}: {settings.task.summary}",
        f"output      {prepared.plan.folder} ({prepared.plan.mode})",
        f"dataset     {data.path} ({', '.join(f'{n} {len(s):,} rows' for n, s in data.splits.items())})",
        f"model       {model.config.model_type}, {model.num_parameters():,} parameters",
        f"evaluation  every {settings.training.eval_steps:g} steps, checkpoint every {settings.training.save_steps:g}",
        "",
        "settings (others have transformers' defaults):",
    ]
    lines += [f"  {name:<30} {value:<24} {source}" for name, (value, source) in settings.request.sources.items()]
    lines += ["", "first training row:", prepared.trainer.describe_row("train", 0)]
    return "\n".join(lines)


def _dataset(settings: Settings, prefix: Path) -> StoredDataset:
    """The folder given by --dataset, or the one for the builder's options."""
    if not settings.run.dataset:
        return dataset_folder.build_or_load(settings.task, settings.dataset, prefix)
    sources = settings.request.sources
    idle = [name for name in asdict(settings.dataset) if sources.get(name, ("", ""))[1] == "command line"]
    if idle:
        raise UserError(
            f"--dataset takes the folder as it is, so --{', --'.join(idle)} would do nothing; leave one out"
        )
    data = dataset_folder.load(Path(os.path.expanduser(settings.run.dataset)), settings.task.name)
    for name, value in asdict(settings.dataset).items():
        own = data.metadata["options"].get(name, value)
        if name in sources and own != value and PartialState().is_main_process:
            print(f"adjusted: {name} is {own}, as in the dataset ({sources[name][1]} says {value})", flush=True)
    return data


def _threads() -> int:
    """This process's share of the cores it may use; a launcher's OMP_NUM_THREADS=1 would leave the others idle."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _claim(plan: output_dir.Plan, settings: Settings) -> tuple[RunFolder, Any]:
    """The main process claims the folder; the others learn its name."""
    state = PartialState()
    state.wait_for_everyone()  # every process has made its plan before the folder exists
    run, lock = RunFolder(plan.folder), None
    if state.is_main_process:
        marker = {
            "task": settings.task.name,
            "package": settings.task.package,
            "command": shlex.join(sys.argv),
            **git_state(),
        }
        run, lock = output_dir.claim(plan, marker)
    names = [str(run.path)]
    if state.num_processes > 1:
        broadcast_object_list(names)
    return RunFolder(Path(names[0])), lock


def _add_callbacks(prepared: Prepared, tracker: Tracker) -> None:
    trainer, run = prepared.trainer, prepared.settings.run
    trainer.add_callback(SaveUntrained(trainer))
    trainer.add_callback(StopOnBadLoss())
    trainer.add_callback(SaveOnTermination())
    if run.l2_to_start:
        trainer.add_callback(PullToStart(trainer.unwrapped_model, run.l2_to_start))
    if run.early_stopping_patience:
        trainer.add_callback(EarlyStoppingCallback(run.early_stopping_patience))
    if PartialState().is_main_process:
        if run.keep_best:
            trainer.add_callback(KeepBest(run.keep_best))
        trainer.add_callback(TrackMetrics(tracker, list(prepared.data.splits)))
        trainer.add_callback(ShowExamples(trainer, tracker))
        trainer.add_callback(DrawFigures(trainer, tracker))
        if prepared.probe is not None:
            trainer.add_callback(ProbeWhileTraining(trainer, tracker, prepared.probe))
        trainer.add_callback(Progress(trainer))


def _forward_pass(trainer: WorldTrainer) -> str:
    return describe_pass(trainer.unwrapped_model, trainer.is_fsdp_enabled, bool(trainer.args.activation_checkpointing))


def _train_on(trainer: WorldTrainer, checkpoint: Path | None) -> None:
    """Train, from a checkpoint if there is one, unless that one only lacks the final evaluation."""
    n_rows = len(trainer.data.splits["train"])
    if checkpoint is None or not lacks_only_evaluation(checkpoint, trainer.args, n_rows):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return
    trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    load_weights(trainer.unwrapped_model, Path(best or checkpoint))


def _final_evaluation(trainer: WorldTrainer) -> Mapping[str, float]:
    """Evaluate the model that is kept (the best one) on every split but train; `test` is seen only here."""
    trainer.remove_callback(EarlyStoppingCallback)
    splits = {name: rows for name, rows in trainer.rows.items() if name != "train"}
    return trainer.evaluate(splits, metric_key_prefix="final") if splits else {}  # pyright: ignore
