"""Interface of a view, which asks one question about a trained model; look, write and track what it says.

A view is a flag of `world-models probe RUN --<view>`. A task names its views in `TASK.views`; each is a class with
options of its own, which become flags beside it. Everything goes to `<run>/probe/<view>/`.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trainers.common import figures
from trainers.common.files import write_csv, write_json
from trainers.contract import StoredDataset, Task
from trainers.folders.run_folder import RunFolder
from trainers.folders.weights import named_weights
from trainers.options import option
from trainers.probes.checkpoints import load_checkpoint, tracker_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Inspected:
    """What a view looks at."""

    task: Task
    data: StoredDataset
    model: "PreTrainedModel"
    """In evaluation mode, float32, on the accelerator if there is one."""
    first: "PreTrainedModel | None"
    """The run's `checkpoint-0`, the untrained model, likewise; None if it is gone."""
    step: int
    """The step of the weights of `model`."""


@dataclass(frozen=True)
class ViewResult:
    """What a view has found."""

    metrics: Mapping[str, float]
    """Name -> finite value; its n, interval, control and ceiling are metrics too."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """File name without ending -> the rows of a CSV, all with the same columns."""
    figures: "Mapping[str, Callable[[], Figure]]" = field(default_factory=dict)
    """File name -> function that draws it."""
    lines: Sequence[str] = ()
    """What the console says."""


class View(ABC):
    """One question about a trained model."""

    options: ClassVar[type]
    """Dataclass whose fields are flags beside the view's own."""
    summary: ClassVar[str]
    """One line for `--help`."""

    def __init__(self, options: Any) -> None:
        self.chosen = options

    @abstractmethod
    def look(self, inspected: Inspected) -> ViewResult:
        """Answer the question."""


def with_view_flags(task: Task, options: type) -> type:
    """Return an options class with a flag for each view of a task beside its own fields."""
    flags = [(name, bool, option(False, task.load("views", name).summary)) for name in task.views]
    return dataclasses.make_dataclass(options.__name__, flags, bases=(options,))


def without_view_flags(options: type, given: Any) -> Any:
    """Return an instance of an options class from one that `with_view_flags` has made of it."""
    return options(**{item.name: getattr(given, item.name) for item in dataclasses.fields(options)})


def run_view(run: RunFolder, name: str, options: Any, checkpoint: str = "best") -> tuple[Path, ViewResult]:
    """Look at weights of a run, write and track what is found; return the folder, and what was found.

    Args:
        name: Of a view of the run's task.
        options: Of that view.
        checkpoint: `best`, `last` or a step.

    Raises:
        UserError: the run has no such weights, its dataset is gone, or the options do not fit.
    """
    from trainers.folders.run_dataset import own_dataset

    ((step, weights),) = named_weights(run, checkpoint).items()
    view: View = run.task.load("views", name)(options)
    untrained = run.checkpoints.get(0)
    first = load_checkpoint(untrained).float().eval() if untrained else None
    found = view.look(Inspected(run.task, own_dataset(run), load_checkpoint(weights).float().eval(), first, step))
    for line in found.lines:
        print(line, flush=True)
    folder = run.probe_folder(name)
    paths = write_found(folder, found)
    paths.append(folder / "view.json")
    content = {"options": dataclasses.asdict(options), "step": step, "metrics": found.metrics}
    write_json(paths[-1], content)
    _track_found(run, name, step, found, paths)
    return folder, found


def write_found(folder: Path, found: ViewResult) -> list[Path]:
    """Write tables and figures; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in found.tables.items():
        write_csv(folder / f"{name}.csv", rows)
    for name, draw in found.figures.items():
        figures.save_figure(draw(), folder / name)
    return [folder / name for name in (*(f"{table}.csv" for table in found.tables), *found.figures)]


def _track_found(run: RunFolder, view: str, step: int, found: ViewResult, paths: Sequence[Path]) -> None:
    """Add metrics at their step and files to the MLflow run; a value that is its newest there is left out."""
    if (tracker := tracker_of(run)) is None:
        return
    for name, value in found.metrics.items():
        key = f"probe_{view}/{name}"
        known = [point.value for point in tracker.client.get_metric_history(tracker.run_id, key) if point.step == step]
        if known[-1:] != [value]:  # it was looked at with other options since
            tracker.metrics({key: value}, step)
    tracker.flush()
    for path in paths:
        tracker.file(path, f"probe/{view}")
