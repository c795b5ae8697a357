"""One run from settings to finished folder: prepare everything, then claim the folder, then train and track."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_model
from transformers import TrainerCallback, TrainerState

from trainers.base import WorldTrainer, build_rows
from trainers.callbacks.control import KeepBest, PullToStart, SaveOnTermination, StopOnBadLoss, StopWithoutProgress
from trainers.callbacks.figures import DrawFigures, ProbeWhileTraining
from trainers.callbacks.reporters import ReportEvaluations
from trainers.callbacks.reporting import KeepPredictions, Progress, ShowExamples, TrackMetrics
from trainers.callbacks.resume import FollowSettings, LossSinceLog, locate_best_checkpoint
from trainers.common.environment import git_diff, git_state, share_of_cores
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders import output_dir
from trainers.folders.checkpoints import STATE
from trainers.folders.run_folder import RunFolder
from trainers.models.causal_lm import describe_pass
from trainers.options import path_options
from trainers.probes.probe import Probe
from trainers.runs import checks, inputs, records, resume
from trainers.runs.cadence import lacks_only_evaluation, settle
from trainers.runs.compiling import settle_compiling
from trainers.runs.growing import settle_growing
from trainers.runs.upstream import SaveUntrained
from trainers.settings.precision import describe_precision
from trainers.settings.resolve import Settings
from trainers.settings.resume_rules import Change
from trainers.tracking.mlflow_runs import terminate_as_exit, tracked_run
from trainers.tracking.mlflow_store import open_store, page_of
from trainers.tracking.tracker import Tracker


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start; nothing has been written to its output folder yet."""

    settings: Settings
    plan: output_dir.Plan
    data: StoredDataset
    trainer: WorldTrainer
    probe: Probe | None
    changes: list[Change]
    """What a resumed run does otherwise from its checkpoint on."""
    growth: str | None
    """How the world grows, in words; None: it does not."""


def prepare(settings: Settings, prefix: Path) -> Prepared:
    """Validate everything and build data, model, rows and trainer.

    Raises:
        UserError: anything that would make the run fail or write where it must not.
    """
    plan = _plan(settings, prefix)
    torch.set_num_threads(settings.run.threads or share_of_cores())
    transformers.utils.logging.disable_progress_bar()  # else every checkpoint shows a bar for its one file
    changes = resume.changes_of(plan.checkpoint, settings) if plan.checkpoint else []
    data = inputs.load_data(settings, prefix, RunFolder(plan.folder) if plan.checkpoint else None)
    if plan.checkpoint:
        resume.check_resumable(plan.checkpoint, settings, data)
    model = inputs.build_model(settings, data, plan.checkpoint)
    settings = settle(settings, data, prefix, plan.checkpoint)
    checks.check_settings(settings, data)
    rows = build_rows(settings.task, data, model, settings.training.torch_compile)
    trainer = settings.task.load("trainer")(settings.task, data, rows, model, settings.training, settings.run)
    checks.check_trainer(settings, trainer)
    before = RunFolder(plan.folder).settings.get("compiled") if plan.checkpoint else None
    settle_compiling(trainer, before)
    probe = inputs.build_probe(settings, data, model)
    return Prepared(settings, plan, data, trainer, probe, changes, settle_growing(trainer))


def train(prepared: Prepared) -> Path:
    """Claim the folder, train, evaluate the best model, save it with its card; return the folder."""
    settings, trainer = prepared.settings, prepared.trainer
    experiment_id = open_store(settings.task.name) if PartialState().is_main_process else None
    with (
        _claimed(prepared.plan, settings) as run,
        _file_errors(run.path),
        tracked_run(experiment_id, run.path, run.run_id) if experiment_id else terminate_as_exit() as tracker,
    ):
        trainer.args.output_dir = str(run.path)
        if tracker:
            run.write_marker({**run.marker, "mlflow_run_id": tracker.run_id})
            records.log_start(tracker, settings, trainer, run, prepared.changes)
            if prepared.plan.checkpoint:
                print(f"resuming {run.path} from {prepared.plan.checkpoint.name}", flush=True)
            print(describe_precision(settings.training), flush=True)
            if prepared.growth:
                print(prepared.growth, flush=True)
            if (is_planned := getattr(trainer.train_dataset, "gives_plan", None)) is not None:  # a text task
                others = trainer.is_fsdp_enabled, bool(trainer.args.activation_checkpointing)
                print(describe_pass(trainer.unwrapped_model, is_planned, *others), flush=True)
            elif getattr(trainer.unwrapped_model, "compiled_rows", 0):
                print("training pass: blocks compiled", flush=True)
        for callback in _callbacks(prepared, run, tracker):
            trainer.add_callback(callback)
        _train_on(trainer, prepared.plan.checkpoint)
        results = _final_evaluation(trainer)
        trainer.unwrapped_model.config.use_cache = True  # the Trainer switches it off; users of the saved model want it
        trainer.save_model(str(run.path))
        trainer.save_state()
        if tracker:
            records.write_results(tracker, settings, trainer, run, results)
            cast(ReportEvaluations, trainer.pop_callback(ReportEvaluations)).finish()
            print(f"done: {run.path}\ntracked: {page_of(tracker.run_id)}", flush=True)
    # Else PyTorch complains, aborts, or waits for ever when several processes end: a gloo thread that still has a
    # tensor of the last exchange asks for the lock with which the interpreter waits for that very thread.
    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()
    return run.path


def describe(prepared: Prepared) -> str:
    """Return what `--dry_run` shows: data, model size, settings with their origin, one row with its loss mask."""
    settings, data, model = prepared.settings, prepared.data, prepared.trainer.unwrapped_model
    lines = [
        f"task        {settings.task.name}: {settings.task.summary}",
        f"output      {prepared.plan.folder} ({prepared.plan.mode})",
        f"dataset     {data.path} ({', '.join(f'{n} {len(s):,} rows' for n, s in data.splits.items())})",
        f"model       {model.config.model_type}, {model.num_parameters():,} parameters",
        describe_precision(settings.training),
        *([prepared.growth] if prepared.growth else []),
        f"evaluation  every {settings.training.eval_steps:g} steps, checkpoint every {settings.training.save_steps:g}",
        "",
        "settings (others have transformers' defaults):",
    ]
    lines += [f"  {name:<30} {value:<24} {source}" for name, (value, source) in settings.request.sources.items()]
    lines += ["", "first training row:", prepared.trainer.describe_row("train", 0)]
    return "\n".join(lines)


def _plan(settings: Settings, prefix: Path) -> output_dir.Plan:
    run, training = settings.run, settings.training
    name = training.run_name or Path(run.config or settings.task.name).stem
    asked = settings.given("output_dir")
    plan = output_dir.plan(prefix, name, asked, run.overwrite, training.resume_from_checkpoint)
    data = {"dataset": run.dataset, **path_options(settings.dataset)} if plan.mode == "overwrite" else {}
    output_dir.check_sources(plan, {"init_from": run.init_from, **data})
    return plan


@contextlib.contextmanager
def _claimed(plan: output_dir.Plan, settings: Settings) -> Iterator[RunFolder]:
    """Hold the run's folder: the main process claims it, the others learn its name."""
    state, task = PartialState(), settings.task
    state.wait_for_everyone()  # every process has made its plan before the folder exists
    names, lock = [str(plan.folder)], None
    if state.is_main_process:
        marker = {"task": task.name, "package": task.package, "command": shlex.join(sys.argv), **git_state()}
        claimed, lock = output_dir.claim(plan, marker)
        names = [str(claimed.path)]
    try:
        if lock is not None and plan.mode != "resume" and (diff := git_diff()):
            RunFolder(Path(names[0])).write_diff(diff)
        if state.num_processes > 1:
            broadcast_object_list(names)
        yield RunFolder(Path(names[0]))
    finally:
        if lock is not None:
            lock.release()


@contextlib.contextmanager
def _file_errors(folder: Path) -> Iterator[None]:
    """Turn a checkpoint file that cannot be written or read into one UserError."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if "inline_container" not in str(error) and "I/O error" not in str(error):
            raise  # only these two are about a file, in the words of PyTorch and of safetensors
        raise UserError(
            f"a checkpoint in {folder} could not be written or read ({error}); if the disk is full, free space, then go"
            " on with --resume_from_checkpoint last"
        ) from error


def _callbacks(prepared: Prepared, folder: RunFolder, tracker: Tracker | None) -> Iterator[TrainerCallback]:
    trainer, run = prepared.trainer, prepared.settings.run
    yield from (SaveUntrained(trainer), LossSinceLog(trainer), StopOnBadLoss(), SaveOnTermination())
    if run.l2_to_start:
        yield PullToStart(trainer.unwrapped_model, run.l2_to_start)
    if run.early_stopping_patience:
        yield StopWithoutProgress(run.early_stopping_patience)
    if prepared.plan.checkpoint is not None:
        yield FollowSettings(trainer, run.early_stopping_patience)
    if tracker is None:  # not the main process
        return
    if run.keep_best or not trainer.args.save_total_limit:  # else the Trainer deletes by that
        yield KeepBest(run.keep_best)
    yield TrackMetrics(tracker, list(prepared.data.splits), trainer.task.primary_metric)
    yield from (ShowExamples(trainer, tracker), DrawFigures(trainer, tracker), KeepPredictions(trainer, tracker))
    if prepared.probe is not None:
        yield ProbeWhileTraining(trainer, tracker, prepared.probe)
    yield ReportEvaluations(trainer, folder)
    yield Progress(trainer)


def _train_on(trainer: WorldTrainer, checkpoint: Path | None) -> None:
    """Train, from a checkpoint if there is one, unless that one only lacks the final evaluation."""
    n_rows = len(trainer.data.splits["train"])
    if checkpoint is None or not lacks_only_evaluation(checkpoint, trainer.args, n_rows):
        trainer.accelerator.wait_for_everyone()  # all have looked at the results
        if checkpoint and PartialState().is_main_process:
            RunFolder(checkpoint.parent).withdraw_results()
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return
    trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
    locate_best_checkpoint(trainer.state, checkpoint.parent)
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    load_model(trainer.unwrapped_model, Path(best or checkpoint) / "model.safetensors")


def _final_evaluation(trainer: WorldTrainer) -> Mapping[str, float]:
    """Evaluate the model that is kept (the best one) on every split but train; `test` is seen only here."""
    trainer.remove_callback(StopWithoutProgress)
    splits = {name: rows for name, rows in trainer.rows.items() if name != "train"}
    trained_steps, trainer.state.global_step = trainer.state.global_step, trainer.kept_step  # what is evaluated
    results = trainer.evaluate(splits, metric_key_prefix="final") if splits else {}  # pyright: ignore
    trainer.state.global_step = trained_steps
    return results
