"""Check that a run can go on from a checkpoint, and what it then does otherwise."""

from pathlib import Path

from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders.checkpoints import damage_of, read_state
from trainers.folders.run_folder import RunFolder
from trainers.runs.cadence import total_steps
from trainers.settings.identity import identity_of
from trainers.settings.resolve import Settings
from trainers.settings.resume_rules import Change, changes_on_resume

_UNSCALED = ("reduce_lr_on_plateau", "greedy")
"""Schedules that change the rate by what happens, so that no rate can be computed from another peak."""


def changes_of(checkpoint: Path, settings: Settings) -> list[Change]:
    """Return the settings that a resumed run changes.

    Raises:
        UserError: the checkpoint is damaged or of another task, or fixes a setting that is different.
    """
    run = RunFolder(checkpoint.parent)
    if run.marker["task"] != settings.task.name:
        raise UserError(f"{run.path} is a run of the task {run.marker['task']}, not of {settings.task.name}")
    if damage := damage_of(checkpoint):
        raise UserError(
            f"{checkpoint} is damaged ({damage}); give --output_dir {run.path} --resume_from_checkpoint last, which"
            " takes the newest complete one"
        )
    before, step = run.settings, int(read_state(checkpoint)["global_step"])
    changes = changes_on_resume(before.get("resolved", {}), identity_of(settings.request), step)
    schedule = settings.given("lr_scheduler_type")
    if schedule in _UNSCALED and any(change.name == "learning_rate" for change in changes):
        raise UserError(
            f"--learning_rate: with --lr_scheduler_type {schedule} a resumed run goes on with the rate it had reached,"
            " which follows from no formula; leave it out"
        )
    return changes


def check_resumable(checkpoint: Path, settings: Settings, data: StoredDataset) -> None:
    """Refuse to go on in the middle of a run, with other examples or processes, or where nothing is left to do.

    Raises:
        UserError: it is one of these.
    """
    run, training = RunFolder(checkpoint.parent), settings.training
    before, step = run.settings, int(read_state(checkpoint)["global_step"])
    later = [path for at, path in run.checkpoints.items() if at > step and damage_of(path) is None]
    if later:
        raise UserError(
            f"--resume_from_checkpoint {checkpoint}: the run has later checkpoints"
            f" ({', '.join(path.name for path in later)}), which would be mixed with those that are saved from here on;"
            f" delete them, or start another run by --config {run.path} --init_from {checkpoint}"
        )
    trained = before.get("dataset_sha256", {}).get("train")
    if trained not in (None, data.metadata["splits"]["train"]["sha256"]):
        raise UserError(
            f"--dataset: {data.path} does not hold the examples that this run was trained on; those were in"
            f" {before['dataset_folder']}"
        )
    processes, now = before.get("world_size"), training.world_size
    if processes not in (None, now):
        raise UserError(
            f"the run was started on {processes} processes and a step has their examples, but this command has {now};"
            f" start it with accelerate launch --num_processes {processes}"
        )
    asked = f"--max_steps {training.max_steps}"
    if training.max_steps <= 0:
        asked = f"--num_train_epochs {training.num_train_epochs:g}"
    if total_steps(training, len(data.splits["train"])) <= step and run.is_finished_at(step):
        raise UserError(f"{checkpoint} is at step {step} already; {asked} leaves nothing to do")
