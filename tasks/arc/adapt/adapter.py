"""Test-time training of `world-models evaluate RUN --adapt`: which tasks, which arms, what is done already."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from tasks.arc.adapt.options import FREE, AdaptOptions, contexts_of
from trainers.common import environment
from trainers.common.files import read_json, write_json
from trainers.runs.adaptation import Adapted, Adapter

if TYPE_CHECKING:
    from tasks.arc.adapt.given import Given
    from tasks.arc.rows import ArcRows
    from trainers.base import WorldTrainer


@dataclass(frozen=True)
class Job:
    """One task to be answered by one arm, and the file of what it answers."""

    given: "Given"
    arm: str
    path: Path


class TestTimeTraining(Adapter):
    """Leave-one-out training on a task's own demonstrations, and votes over views."""

    __test__ = False  # no test, whatever pytest makes of the name
    options = AdaptOptions
    free: ClassVar = FREE
    split = "unseen_tasks"

    def adapt(self, trainer: "WorldTrainer", split: str, parts: Path) -> Adapted:
        """Run what is not done yet, then report all that was asked for."""
        from tasks.arc.adapt.given import rows_of_tasks
        from tasks.arc.adapt.report import report

        rows: Any = trainer.rows[split]
        contexts = contexts_of(self.chosen)
        chosen = rows_of_tasks(rows, self.chosen.adapt_tasks, self.chosen.adapt_queries)
        jobs = self._jobs(rows, chosen, contexts, parts)
        self._run(trainer, rows, [job for job in jobs if not job.path.is_file()], len(jobs))
        done = [(job, read_json(job.path, "delete it, and evaluate again", {"queries": list})) for job in jobs]
        return report(rows, chosen, [(job.given, job.arm, part) for job, part in done], self.chosen)

    def _jobs(self, rows: "ArcRows", chosen: Mapping[str, list[int]], contexts: list[int], parts: Path) -> list[Job]:
        from tasks.arc.adapt.arms import ARMS
        from tasks.arc.adapt.given import given_of

        arms = ARMS if self.chosen.adapt_controls else ("frozen", "adapted")
        return [
            Job(given_of(rows, task, own, context), arm, parts / f"k{context}-{arm}-{quote(task, safe='')}.json")
            for context in contexts
            for arm in arms
            for task, own in chosen.items()
        ]

    def _run(self, trainer: "WorldTrainer", rows: "ArcRows", jobs: list[Job], n_all: int) -> None:
        """Run jobs, in processes of one thread each on a CPU; write what each answers."""
        from tasks.arc.adapt.arms import Bench, run_all

        if n_done := n_all - len(jobs):
            print(f"test-time training: {n_done} of {n_all} parts are finished already", flush=True)
        if not jobs:
            return
        is_cpu = trainer.args.device.type == "cpu"
        n_processes = self.chosen.adapt_processes or environment.count_cores() if is_cpu else 1
        model: Any = trainer.unwrapped_model
        bench = Bench(model, rows, self.chosen, bool(trainer.args.bf16))
        todo = [(job.given, job.arm) for job in jobs]
        for number, (place, part) in enumerate(run_all(bench, todo, min(n_processes, len(jobs))), n_done + 1):
            job = jobs[place]
            write_json(job.path, part)
            took = f", {part['training_s']:.0f} s of training, loss {part['loss']:.3g}" if "loss" in part else ""
            about = f"{job.given.task}, {part['shown']} demonstrations, {job.arm}{took}"
            print(f"test-time training, part {number} of {n_all}: {about}", flush=True)
