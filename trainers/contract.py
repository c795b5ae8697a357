"""What a task is: one declared object in `tasks/<name>/__init__.py`, and what its parts hand to each other.

Imports nothing heavy, so that `--help` and a mistyped name are answered at once: a task names its parts as
`"module:attribute"` and they are imported when they are used.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common.metric_names import flatten
from trainers.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.figure import Figure

IGNORE = -100
"""The label that losses leave out."""


@dataclass(frozen=True)
class SummarySpec:
    """How `summary.png` shows a task's primary metric.

    Attributes:
        label: axis label of the metric, with the unit. value_label: the same for one row's value.
        lines: value -> text of a dashed reference line.
        limits: least and greatest value of the axis; a logarithmic axis starts above 0.
        log: whether the axis is logarithmic.
    """

    label: str
    value_label: str
    limits: tuple[float, float]
    lines: Mapping[float, str] = field(default_factory=dict)
    log: bool = False


PARTS = ("build_dataset", "build_model", "metric", "trainer", "rows", "tokenizer", "probe")
"""The fields of a task that name an object as `"module:attribute"`."""
OPTIONAL = ("tokenizer", "probe")
"""Those that may be empty."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task. Its folder's name is its name; every field of `options` and `model_options` is a command-line flag.

    An options class is a dataclass of plain values, each made by `trainers.options.option`.
    """

    summary: str
    """One line for `--help` and the cards."""
    options: type
    """Dataclass of what the dataset builder can be asked for."""
    model_options: type
    """Dataclass of the architecture's sizes."""
    build_dataset: str
    """`module:function`, options -> BuiltDataset. Deterministic: equal options give equal rows."""
    build_model: str
    """`module:function`, (model options, StoredDataset) -> an untrained PreTrainedModel."""
    metric: str
    """`module:class`, an `evaluate.Metric`."""
    trainer: str
    """`module:class`, a subclass of `trainers.base.WorldTrainer`."""
    primary_metric: str
    """The metric (as the trainer reports it, without prefix) that chooses the best checkpoint."""
    greater_is_better: bool
    plot: SummarySpec
    """How `summary.png` and a comparison of runs show the primary metric."""
    rows: str = "trainers.text:rows_of"
    """`module:function`, (StoredDataset, split, the model's config, whether all batches must be equally wide, as a
    compiler needs) -> the split as a torch `Dataset` that gives finished batches (see `trainers.base.build_rows`)."""
    tokenizer: str = "tokenization.characters:VOCABULARY"
    """`module:name` of a text task's vocabulary, made by `tokenization.characters.make_vocabulary`: its tokenizer is
    saved with every dataset and model. Empty for a task that is not text."""
    probe: str = ""
    """`module:class`, a `trainers.probes.probe.Probe` of the model's hidden states; empty: none."""
    probe_prompt: str = ""
    """What a probe asks a model of the task, with `{id}` for the thing that is probed, `{option}` for an option."""
    reports: Mapping[str, str] = field(default_factory=dict)
    """Report's name in a study file -> `module:class`, a `trainers.studies.study.Report`."""
    version: int = 1
    """To be raised whenever the builder's rows change for equal options: old dataset folders are then not reused."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training defaults that differ from the stack's, by flag name; a config and the command line win over them."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """Values of `options` whose dataset is built in seconds, for tests; empty where the defaults' is."""
    package: str = ""
    """`__name__` of the package that declares the task: a `replace` of it elsewhere then inherits its recipe."""
    name: str = ""
    """The name of the task's folder; the registry fills it in, as it does the next two."""
    base: str = ""
    """The task that this one is a `replace` of: its config is the default one here too."""
    card: str = ""
    """Markdown paragraphs for the dataset card: the task's `card.md`."""

    def load(self, part: str) -> Any:
        """Import and return the object that the field `part` names, e.g. `task.load("trainer")`.

        Raises:
            UserError: there is no such module, or nothing of this name in it.
        """
        return self._import(part, getattr(self, part))

    def load_report(self, name: str) -> Any:
        """Import and return one of the reports, as `load` does."""
        return self._import("reports", self.reports[name])

    def _import(self, part: str, path: str) -> Any:
        module, _, attribute = path.partition(":")
        absolute = module if "." in module else f"{self.package}.{module}"
        try:
            loaded = importlib.import_module(absolute)
        except ModuleNotFoundError as error:
            if not f"{absolute}.".startswith(f"{error.name}."):
                raise  # something that the task's own code imports
            raise UserError(f"TASK.{part} of {self.name} names the module {absolute}, which does not exist") from error
        if not hasattr(loaded, attribute):
            raise UserError(f"TASK.{part} of {self.name} names {attribute}, which is not in {loaded.__file__}")
        return getattr(loaded, attribute)


@dataclass(frozen=True)
class BuiltDataset:
    """What a builder returns; `trainers.folders.dataset_folder` writes it.

    Attributes:
        splits: `train` and any of `validation` (held out), `memorisation` (lies inside train), `test` (seen once, at
            the end).
        facts: JSON values for `metadata.json`: seeds, the world's digest, trivial baselines by split (`baselines`), and
            under `adjustments` a sentence for everything that is not quite as asked for, which is printed too.
        files: name -> function that writes that file (the realised world, for example).
    """

    splits: "Mapping[str, Dataset]"
    facts: Mapping[str, Any]
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredDataset:
    """A dataset folder as loaded: its path, splits and `metadata.json`."""

    path: Path
    splits: "Mapping[str, Dataset]"
    metadata: Mapping[str, Any]

    @property
    def evaluated(self) -> list[str]:
        """The splits that are evaluated in training: all but `train`, and `test`, which is seen once, at the end."""
        return [name for name in self.splits if name not in ("train", "test")]

    def fact(self, *keys: str, **kinds: type) -> dict[str, Any]:
        """The mapping below these keys of `metadata.json`, which must hold values of these kinds by name.

        Raises:
            UserError: it does not.
        """
        found: Any = self.metadata
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        for name, kind in kinds.items():
            if not isinstance(found, Mapping) or type(found.get(name)) is not kind:
                raise UserError(
                    f"the metadata.json of the dataset {self.path} has no {' '.join(keys)} {name} ({kind.__name__});"
                    " restore the file or build the dataset again"
                )
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result of one evaluation. A task's trainer scores; the split, the stage and the step are filled in for it."""

    metrics: Mapping[str, float]
    """Name -> value, without prefix; failures count in them."""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> what a trivial answer scores on it; the one named "" is drawn as a line."""
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> what else it is compared with, such as the best possible value."""
    entropy_bound: float | None = None
    """The least loss that a model can have, if that is known."""
    samples: Mapping[str, list[Any]]
    """Column -> values: the table of the first examples that is shown and tracked."""
    values: Any
    """The primary quantity of every example, for the histogram."""
    figures: "Mapping[str, Callable[[], Figure]]" = field(default_factory=dict)
    """File name -> function that draws it; drawn once per evaluation on the main process."""
    split: str = ""
    stage: str = ""
    """`eval` during training, `final` at its end."""
    step: int = 0

    def flat(self) -> dict[str, float]:
        """All numbers in one level, as they are logged: `baseline_x`, `reference_<name>_x`, `entropy_bound`."""
        return flatten(self.metrics, self.baselines, self.references, self.entropy_bound)
