"""A process that is started by another ends with it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from trainers.common.processes import PARENT_PID, end_with_parent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child")

CHILD = (
    "import time; from trainers.common.processes import end_with_parent; end_with_parent();"
    "print('ready', flush=True); time.sleep(60)"
)
PARENT = f"""
import os, subprocess, sys, threading
from trainers.studies.child_runs import start_process
threading.Thread(target=threading.Event().wait, daemon=True).start()
child = start_process([sys.executable, "-c", {CHILD!r}], {{}})
print(child.pid, flush=True)
child.wait()
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent_however_that_ends(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    words = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}  # in either order
    (pid,) = [int(word) for word in words - {"ready"}]
    assert is_alive(pid)
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    deadline_s = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_parent_that_was_gone_before_ends_the_child_too(monkeypatch):
    monkeypatch.setenv(PARENT_PID, "1" if os.getppid() != 1 else "2")
    code = "from trainers.common.processes import end_with_parent; end_with_parent(); print('goes on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 143 and done.stdout == ""


def test_a_process_that_was_typed_goes_on_alone(monkeypatch):
    monkeypatch.delenv(PARENT_PID, raising=False)
    end_with_parent()
