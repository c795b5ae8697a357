"""Lock a folder for the process that writes it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from trainers.errors import UserError


def lock_of(folder: Path) -> FileLock:
    """Return the lock of a folder's writer; it lies next to the folder."""
    return FileLock(folder.parent / f".{folder.name}.lock")


def acquire_lock(folder: Path) -> FileLock:
    """Take the lock of a folder without waiting; raise a `UserError` if another process is writing it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is writing {folder}; wait for it, or write to another folder") from None
    return lock


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; raise a `UserError` if another process is writing it."""
    lock = acquire_lock(folder)
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Return whether a process of this machine is writing a folder, or may be: other users' locks are unreadable."""
    if not folder.parent.is_dir():
        return False
    try:
        with lock_of(folder).acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


def held_below(folder: Path) -> list[Path]:
    """Return the folders below a folder that a process is writing, or may be."""
    locked = (lock.with_name(lock.name[1:].removesuffix(".lock")) for lock in folder.rglob(".*.lock"))
    return [path for path in locked if is_held(path)]
