"""Let a process end with the one that started it, however that ends."""

import ctypes
import os
import signal
import sys

PARENT_PID = "WORLD_MODELS_PARENT_PID"
"""Environment variable with the id of the process that started this one and is to be survived by nothing."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """End this process once its parent is gone, if PARENT_PID names it."""
    parent = os.environ.pop(PARENT_PID, None)  # it is not the parent of what this process starts
    if parent is not None:
        end_with(int(parent))


def end_with(parent_pid: int) -> None:
    """Have Linux send SIGTERM to this process once its parent is gone; elsewhere do nothing.

    The child asks by itself: code between fork and exec is not safe in a parent with threads.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it was gone before this process could ask
        raise SystemExit(128 + signal.SIGTERM)
