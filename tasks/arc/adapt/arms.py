"""One task, answered by one arm: the frozen model, an adapted copy, and the controls; several tasks in processes.

frozen    the run's weights as they are, shown the same demonstrations
adapted   a copy that was trained on the demonstrations: test-time training
random    the same from random weights, so that the demonstrations are all that was ever learnt from
shuffled  the run's weights, trained on and shown demonstrations whose outputs are exchanged between them
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import torch

from tasks.arc.adapt.given import Given
from tasks.arc.adapt.options import AdaptOptions
from tasks.arc.adapt.training import learn, untrained
from tasks.arc.adapt.voting import answer, views_of, vote
from tasks.arc.model import ArcModel
from tasks.arc.rows import ArcRows
from trainers.common.processes import end_with

ARMS = ("frozen", "adapted", "random", "shuffled")
Part = dict[str, Any]
"""What an arm has answered, as JSON."""


@dataclass(frozen=True)
class Bench:
    """What all tasks have in common: the model, rows that write examples for it, the options, and the precision."""

    model: ArcModel
    rows: ArcRows
    options: AdaptOptions
    bf16: bool

    def run(self, given: Given, arm: str) -> Part:
        """Answer a task's queries."""
        options = self.options
        autocast = torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16)
        model = untrained(self.model, options.adapt_seed) if arm == "random" else self.model
        given = given.shuffled(options.adapt_seed) if arm == "shuffled" else given
        noted: dict[str, float] = {}
        if arm != "frozen":
            learnt = learn(model, given, self.rows, options, autocast)
            model, noted = learnt.model, {"loss": learnt.loss, "training_s": learnt.seconds}
        answers = answer(model.eval(), given, self.rows, views_of(given, options), autocast)
        queries = []
        for of_views in answers:
            votes = vote(of_views)[:2]
            queries.append(
                {
                    "first_view": None if of_views[0].grid is None else of_views[0].grid.tolist(),
                    "attempts": [one.grid.tolist() for one in votes],
                    "votes": [one.views for one in votes],
                    "log_likelihoods": [one.log_likelihood for one in votes],
                }
            )
        return {"task": given.task, "arm": arm, "shown": len(given.demonstrations), **noted, "queries": queries}


def run_all(bench: Bench, jobs: Sequence[tuple[Given, str]], n_processes: int) -> Iterator[tuple[int, Part]]:
    """Yield the number of each job and its part, as they are finished."""
    if n_processes == 1:
        yield from ((number, bench.run(*job)) for number, job in enumerate(jobs))
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    with ProcessPoolExecutor(n_processes, spawn, _begin, (bench, os.getpid())) as pool:
        waiting = {pool.submit(_work, *job): number for number, job in enumerate(jobs)}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            if not all(job.done() for job in waiting):  # interrupted: the pool would wait for minutes of work
                for process in multiprocessing.active_children():
                    process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)


_bench: Bench | None = None  # of a process of the pool


def _begin(bench: Bench, parent_pid: int) -> None:
    global _bench
    end_with(parent_pid)
    torch.set_num_threads(1)
    _bench = bench


def _work(given: Given, arm: str) -> Part:
    assert _bench is not None
    return _bench.run(given, arm)
