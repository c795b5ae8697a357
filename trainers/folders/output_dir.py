"""Resolve `--output_dir` to a run folder that is created, resumed or overwritten, never by accident.

`plan` decides and changes nothing, so that a refusal costs nothing; `claim` acts, after everything else was validated.
All decisions are made on resolved paths: symbolic links are followed and `..` is gone before a path is compared.
"""

import contextlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from trainers.errors import UserError
from trainers.folders.checkpoints import STATE
from trainers.folders.locks import acquire_lock, held_below
from trainers.folders.run_folder import RunFolder

_COLLECTIONS = ("runs", "datasets", "studies", "sweeps", "compare", "bench")
"""Folders of the prefix in which everything has a folder of its own."""


@dataclass(frozen=True)
class Plan:
    """Where a run will write. `mode` says what happens to the folder when it is claimed."""

    folder: Path
    mode: Literal["create", "number", "resume", "overwrite"]
    checkpoint: Path | None = None


def plan(prefix: Path, name: str, output_dir: str | None, overwrite: bool, resume: str | None) -> Plan:
    """Decide where to write, without touching anything.

    Args:
        prefix: The resolved folder that holds everything generated.
        name: Names the folder without an output_dir: `<prefix>/runs/<name>-001`, -002, …
        output_dir: The folder; a relative path counts from the working directory.
        overwrite: Whether an earlier run's folder may be replaced.
        resume: A checkpoint folder, or `last` for the newest one in output_dir.

    Raises:
        UserError: The folder is outside the prefix, is the prefix, holds something else than a run, or is in use.
    """
    if resume is not None:
        return _plan_resume(prefix, output_dir, overwrite, resume)
    if output_dir is None:
        if overwrite:
            raise UserError("--overwrite needs --output_dir: say which folder may be replaced")
        if Path(name).name != name:
            raise UserError(f"--run_name {name!r} is a path; give a name, or say where to write with --output_dir")
        free_place(prefix, prefix / "runs" / name)
        return Plan(prefix / "runs" / name, "number")
    folder = free_place(prefix, Path(output_dir))
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return Plan(folder, "create")
    if not folder.is_dir():
        raise UserError(f"--output_dir {folder} is a file; give a folder")
    if not overwrite:
        raise UserError(
            f"--output_dir {folder} is in use; choose another one, or --overwrite to replace it,"
            " or --resume_from_checkpoint last to go on with it"
        )
    _check_replaceable(folder)
    return Plan(folder, "overwrite")


def check_sources(plan: Plan, sources: Mapping[str, str | None]) -> None:
    """Refuse to write where a run reads from: what it starts from would be replaced, and be its own parent.

    Args:
        sources: Flag -> file or folder that the run reads, or several with commas between (None: none).

    Raises:
        UserError: one is the planned folder, or lies in it.
    """
    for name, paths in sources.items():
        if any(_real(Path(path)).is_relative_to(plan.folder) for path in (paths or "").split(",") if path):
            raise UserError(
                f"--{name} {paths} lies in --output_dir {plan.folder}, which this run writes; give another --output_dir"
            )


def claim(plan: Plan, marker: dict[str, Any]) -> tuple[RunFolder, FileLock]:
    """Make the planned folder this run's own; return it with the lock that keeps other runs out.

    Raises:
        UserError: another run is writing the folder, or it is no longer what was planned with.
    """
    if plan.mode != "number" and _real(plan.folder) != plan.folder:
        raise UserError(f"{plan.folder} has become a symbolic link since it was checked; start again")
    folder = _numbered(plan.folder) if plan.mode == "number" else plan.folder
    lock = acquire_lock(folder)
    if plan.mode != "resume":
        _check_beside(folder)
    if plan.mode == "create" and folder.exists() and any(folder.iterdir()):
        raise UserError(f"--output_dir {folder} has come into use since it was checked; choose another one")
    if plan.mode == "overwrite":
        _check_replaceable(folder)
        if kept := RunFolder(folder).delete_written():
            print(f"kept in {folder}, as no run wrote it: {', '.join(kept)}", flush=True)
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    if plan.mode != "resume":
        run.write_marker(marker)
    return run, lock


def free_place(prefix: Path, path: Path) -> Path:
    """Return the folder of `inside`; raise a `UserError` if it lies in a run's, or is where all of a kind are kept."""
    folder = inside(prefix, path)
    _check_beside(folder)
    if folder.parent == prefix and folder.name in _COLLECTIONS:
        raise UserError(f"--output_dir {path} is where all {folder.name} are kept; give a folder inside it")
    return folder


def inside(prefix: Path, path: Path) -> Path:
    """Return the resolved folder of --output_dir; raise a `UserError` unless it is below the prefix and writable."""
    folder = _real(path)
    if any(part.is_symlink() for part in (folder, *folder.parents)):
        raise UserError(f"--output_dir {path} is a symbolic link in a circle; give a folder")
    if folder == prefix:
        raise UserError(f"--output_dir {path} is EXP_DIR_PREFIX itself ({prefix}); give a folder inside it")
    if not folder.is_relative_to(prefix):
        raise UserError(
            f"--output_dir {path} resolves to {folder}, outside EXP_DIR_PREFIX ({prefix}); give a folder"
            " inside it, or set EXP_DIR_PREFIX"
        )
    parent = next(p for p in folder.parents if p.exists())
    if not parent.is_dir():
        raise UserError(f"--output_dir {path} lies below the file {parent}; give a folder")
    if not os.access(folder if folder.is_dir() else parent, os.W_OK):
        raise UserError(f"--output_dir {path} cannot be written: no permission in {parent}; choose another folder")
    return folder


def _real(path: Path) -> Path:
    """Return the path without links, `..` and `~`; unlike `Path.resolve` and `expanduser` never raise."""
    return Path(os.path.realpath(os.path.expanduser(path)))


def _plan_resume(prefix: Path, output_dir: str | None, overwrite: bool, resume: str) -> Plan:
    if overwrite:
        raise UserError("--overwrite and --resume_from_checkpoint are both given; use one of the two")
    is_last = resume in ("last", "true", "True")
    if is_last and output_dir is None:
        raise UserError("--resume_from_checkpoint last needs --output_dir, the run to go on with")
    named = _real(Path(str(output_dir) if is_last else resume))
    is_run = is_last or RunFolder(named).has_marker  # its newest checkpoint is meant
    folder = inside(prefix, Path(output_dir) if output_dir else named if is_run else named.parent)
    checkpoint = RunFolder(named).last_checkpoint if is_run else named
    if checkpoint is None or not (checkpoint / STATE).is_file():
        raise UserError(
            f"--resume_from_checkpoint {resume}: no complete checkpoint there (a folder checkpoint-N with"
            f" {STATE}); {folder} has: {RunFolder(folder).checkpoint_names}"
        )
    if checkpoint.parent != folder:
        raise UserError(
            f"the checkpoint {checkpoint} is not in --output_dir {folder}; a run is resumed in its own"
            " folder (to start a new run from it, use --init_from)"
        )
    RunFolder(folder).check_marker()
    return Plan(folder, "resume", checkpoint)


def _numbered(stem: Path) -> Path:
    """Create and return the first free `<stem>-001`, `-002`, …; `mkdir` makes sure that only one run gets it."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = stem.with_name(f"{stem.name}-{number:03d}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def _check_beside(folder: Path) -> None:
    """Raise a `UserError` if the folder lies in a run's, which would be deleted with it."""
    if run := next((parent for parent in folder.parents if RunFolder(parent).has_marker), None):
        raise UserError(f"--output_dir {folder} lies in the run {run}; give a folder next to it")


def _check_replaceable(folder: Path) -> None:
    """Raise a `UserError` unless the folder is a run's, without other runs or anything in use below it."""
    run = RunFolder(folder)
    run.check_marker()
    if others := run.runs_inside:
        raise UserError(f"--output_dir {folder} has other runs in it ({others[0]}); give another folder, or move them")
    if used := held_below(folder):
        raise UserError(f"--output_dir {folder}: another process is writing {used[0]}; wait for it")
