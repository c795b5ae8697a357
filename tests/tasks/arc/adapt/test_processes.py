"""Tasks in processes: what is done comes at once, and an interruption ends the others."""

import multiprocessing
import time

from tasks.arc.adapt.arms import run_all


class Bench:
    """Takes as many seconds for a job as its arm says."""

    def run(self, given, arm):
        time.sleep(float(arm))
        return {"task": given}


def test_all_jobs_are_done_and_told_apart():
    jobs = [("a", "0.2"), ("b", "0"), ("c", "0")]
    assert dict(run_all(Bench(), jobs, 2)) == {0: {"task": "a"}, 1: {"task": "b"}, 2: {"task": "c"}}


def test_an_interruption_does_not_wait_for_work_that_is_begun():
    parts = run_all(Bench(), [("quick", "0"), ("slow", "300"), ("slower", "300")], 2)
    assert next(parts) == (0, {"task": "quick"})
    end_s = time.perf_counter() + 60
    parts.close()
    while multiprocessing.active_children() and time.perf_counter() < end_s:
        time.sleep(0.1)
    assert not multiprocessing.active_children()
