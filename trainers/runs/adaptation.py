"""Train a model on what each task shows before it answers (test-time training), as an evaluation of a run.

A task that has this names a class in `TASK.adapter`, whose options are flags beside
`world-models evaluate RUN --adapt`. Nothing of the run is changed: everything goes to
`<run>/evaluations/test_time_training/` and into an MLflow run below that of the training.
"""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trainers.contract import Evaluation, Predictions, StoredDataset, Task
from trainers.errors import UserError, suggest
from trainers.folders.run_folder import RunFolder
from trainers.probes.views import ViewResult

if TYPE_CHECKING:
    from trainers.base import WorldTrainer

NAME = "test_time_training"


@dataclass(frozen=True)
class Adapted(ViewResult):
    """What adapted models have answered."""

    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    """Name of a table -> every prediction that metrics are computed from."""


class Adapter(ABC):
    """Test-time training of a task."""

    options: ClassVar[type]
    """Dataclass whose fields are flags; names begin with `adapt_`, so that none is one of the dataset's."""
    free: ClassVar[frozenset[str]]
    """Options that change no number of a part, so that parts that are finished serve other values too."""
    split: ClassVar[str]
    """The split that is evaluated by default."""

    def __init__(self, options: Any) -> None:
        self.chosen = options

    @abstractmethod
    def adapt(self, trainer: "WorldTrainer", split: str, parts: Path) -> Adapted:
        """Adapt copies of the trainer's model and answer with them; the trainer's own stays as it is.

        Args:
            parts: Folder for what is finished, which is not done again when an interrupted evaluation is repeated.
        """


def with_adapter_flags(task: Task, options: type) -> type:
    """Return an options class with the flags of a task's adapter beside its own.

    Raises:
        UserError: the task has none.
    """
    if not task.adapter:
        raise UserError(f"--adapt: the task {task.name} has no test-time training; leave it out")
    more = [(item.name, item.type, item) for item in dataclasses.fields(task.load("adapter").options)]
    fields = [(name, kind, field(default=item.default, metadata=item.metadata)) for name, kind, item in more]
    return dataclasses.make_dataclass(options.__name__, fields, bases=(options,))


def only(options: type, given: Any) -> Any:
    """Return an instance of an options class from one that has more fields."""
    return options(**{item.name: getattr(given, item.name) for item in dataclasses.fields(options)})


def adapt_run(
    run: RunFolder, weights: Mapping[int, Path], data: StoredDataset, split: str | None, options: Any
) -> None:
    """Evaluate weights of a run (step -> folder) by test-time training; print, write and track the results of each.

    Raises:
        UserError: weights do not fit, there is no such split, or another process writes this run's evaluations.
    """
    from accelerate import PartialState

    from trainers.runs.evaluation import tracked_evaluation
    from trainers.runs.trained import load_trainer, settings_of
    from trainers.tracking.mlflow_store import page_of

    if PartialState().num_processes > 1:
        raise UserError("--adapt was started in several processes, and starts its own; leave out `accelerate launch`")
    adapter: Adapter = run.task.load("adapter")(options)
    split = split or adapter.split
    if split not in data.splits or split == "train":
        known = [name for name in data.splits if name != "train"]
        raise UserError(f"--split {split}: {data.path} has {', '.join(known)} to adapt to.{suggest(split, known)}")
    settings = settings_of(run)
    folder = (run.evaluations if data.path == run.dataset else run.evaluations / data.path.name) / NAME
    with tracked_evaluation(run, data, "by test-time training") as tracker:
        tracker.params(dataclasses.asdict(options))
        for step, path in weights.items():
            place = folder / f"step-{step}" / f"{split}-{_digest(adapter)}"
            parts = place / "parts"
            parts.mkdir(parents=True, exist_ok=True)
            found = adapter.adapt(load_trainer(settings, path, step, data), split, parts)
            print("\n".join(found.lines), flush=True)
            tracker.metrics({f"{NAME}/{name}": value for name, value in found.metrics.items()}, step)
            for written in _write(place, run, found, split, step, options):
                tracker.file(written, f"step-{step}")
        print(f"written: {folder}\ntracked: {page_of(tracker.run_id)}", flush=True)


def _digest(adapter: Adapter) -> str:
    """Return eight characters that tell apart options that change numbers."""
    fixed = {name: value for name, value in vars(adapter.chosen).items() if name not in adapter.free}
    return sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:8]


def _write(folder: Path, run: RunFolder, found: Adapted, split: str, step: int, options: Any) -> list[Path]:
    from trainers.common.files import write_json
    from trainers.folders.predictions import write_predictions
    from trainers.probes.views import write_found

    kept = Evaluation(metrics={}, samples={}, values=(), predictions=found.predictions, split=split, step=step)
    facts = {"task": run.task.name, "run": run.path.name, "evaluation": NAME}
    paths = [*write_found(folder, found), *write_predictions(folder, kept, facts)]
    write_json(
        folder / "evaluation.json",
        {"run": run.path.name, "step": step, "options": dataclasses.asdict(options), "metrics": found.metrics},
    )
    return [*paths, folder / "evaluation.json"]
