"""Declare a task: one object in `tasks/<name>/__init__.py`, and the values that its parts exchange.

Imports nothing heavy, so that `--help` and a mistyped name are answered at once: a task names its parts as
`"module:attribute"`, which are imported when they are used.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trainers.common.metric_names import flatten
from trainers.errors import UserError, suggest

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from matplotlib.figure import Figure

IGNORE = -100
"""The label that losses ignore."""


@dataclass(frozen=True)
class SummarySpec:
    """How `summary.png` shows a task's primary metric."""

    label: str
    """Axis label of the metric, with the unit."""
    value_label: str
    """Axis label of one example's value, with the unit."""
    limits: tuple[float, float]
    """Least and greatest value of the axis; a logarithmic axis starts above 0."""
    lines: Mapping[float, str] = field(default_factory=dict)
    """Value -> text of a dashed reference line."""
    log: bool = False
    """Whether the axis is logarithmic."""


PARTS = (
    *("build_dataset", "build_model", "metric", "trainer", "rows"),
    *("tokenizer", "probe", "predictor", "adapter", "explain", "grows"),
)
"""The fields of a task that name an object as `"module:attribute"`."""
OPTIONAL = ("tokenizer", "probe", "predictor", "adapter", "explain", "grows")
"""Those that may be empty."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, named like its folder; the fields of its options classes (see `trainers.options.option`) are flags."""

    summary: str
    """One line for `--help` and the cards."""
    options: type
    """Dataclass of the dataset builder's options."""
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
    saved with every dataset and model. Empty for other tasks."""
    probe: str = ""
    """`module:class`, a `trainers.probes.probe.Probe` of the model's hidden states; empty: none."""
    probe_prompt: str = ""
    """Prompt of the probe, with `{id}` for the thing that is probed and `{option}` for an option."""
    predictor: str = "trainers.runs.text_prediction:TextPredictor"
    """`module:class`, a `trainers.runs.prediction.Predictor` for prompts of a user's own; empty: there are none."""
    adapter: str = ""
    """`module:class`, a `trainers.runs.adaptation.Adapter`, for `world-models evaluate RUN --adapt`; empty: none."""
    explain: str = ""
    """`module:function`, (prompts, answers, folder of the dataset) -> column -> values: what the answers of a text task
    mean, None where one cannot be read; empty: they are shown as they are."""
    grows: str = ""
    """`module:function`, (StoredDataset, split) -> GrowingWorld: which rows exist in a smaller world, for `--grow`;
    empty: no part of this world is a world."""
    views: Mapping[str, str] = field(default_factory=dict)
    """Flag of `world-models probe` -> `module:class`, a `trainers.probes.views.View` of the trained model."""
    reports: Mapping[str, str] = field(default_factory=dict)
    """Report's name in a study file -> `module:class`, a `trainers.studies.study.Report`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training defaults that differ from the stack's, by flag name; a config and the command line win over them."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """Values of `options` whose dataset is built in seconds, for tests; empty where the defaults' is."""
    licence: str = ""
    """Licence of the data as Hugging Face's hub calls it (`cc-by-4.0`), for the cards; empty: not known."""
    package: str = ""
    """`__name__` of the package that declares the task: a `replace` of it elsewhere then inherits its recipe."""
    name: str = ""
    """The name of the task's folder; the registry fills it in, as it does the next two."""
    base: str = ""
    """The task that this one is a `replace` of: its config is the default one here too."""
    card: str = ""
    """Markdown paragraphs for the dataset card: the task's `card.md`."""
    members: "tuple[Task, ...]" = ()
    """The tasks of a mixture (`--task distance,angle`), which nobody declares."""

    def load(self, part: str, name: str = "") -> Any:
        """Import and return the object that a field names, e.g. `load("trainer")` or `load("reports", "ladder")`.

        Raises:
            UserError: There is no such module, or nothing of this name in it.
        """
        module, _, attribute = (getattr(self, part)[name] if name else getattr(self, part)).partition(":")
        wrong = f"TASK.{part} of {self.name} names {module}:{attribute}"
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # something that the task's own code imports
            raise UserError(f"{wrong}, but there is no module {module}; correct the name") from error
        if not hasattr(loaded, attribute):
            hint = suggest(attribute, vars(loaded))
            raise UserError(f"{wrong}, but {loaded.__file__} has no {attribute}; correct the name.{hint}")
        return getattr(loaded, attribute)


@dataclass(frozen=True)
class Pieces:
    """Rows that are made piece by piece, by several processes if wanted: a split too long for memory."""

    n_rows: int
    make: "Callable[[int, int], Dataset]"
    """(start, stop) -> these rows. It can be pickled, and equal rows come whatever the cuts."""
    SIZE: ClassVar[int] = 1_000_000
    """Rows of a piece, which is a file of its own on disk."""

    def __len__(self) -> int:
        return self.n_rows


@dataclass(frozen=True)
class BuiltDataset:
    """What a builder returns; `trainers.folders.dataset_folder` writes it."""

    splits: "Mapping[str, Dataset | Pieces]"
    """`train` and any of `validation` (held out), `memorisation` (lies inside train), `test` (evaluated at the end)."""
    facts: Mapping[str, Any]
    """JSON values for `metadata.json`: seeds, the world's digest, trivial baselines by split (`baselines`), and under
    `adjustments` a sentence for every deviation from the options, which is printed too."""
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    """Name -> function that writes that file (the realised world, for example)."""


@dataclass(frozen=True)
class StoredDataset:
    """A dataset folder as loaded: its path, splits and `metadata.json`."""

    path: Path
    splits: "Mapping[str, Dataset]"
    metadata: Mapping[str, Any]

    @property
    def evaluated(self) -> list[str]:
        """The splits that are evaluated in training: all but `train` and `test`."""
        return [name for name in self.splits if name not in ("train", "test")]

    def fact(self, *keys: str, **kinds: type) -> dict[str, Any]:
        """Return the mapping below these keys of `metadata.json`; raise a `UserError` if one of `kinds` is missing."""
        fact: Any = self.metadata
        for key in keys:
            fact = fact.get(key) if isinstance(fact, Mapping) else None
        for name, kind in kinds.items():
            if not isinstance(fact, Mapping) or type(fact.get(name)) is not kind:
                raise UserError(
                    f"the metadata.json of the dataset {self.path} has no {' '.join(keys)} {name} ({kind.__name__});"
                    " restore the file, or build the dataset again by a builder that gives this among its facts"
                )
        return dict(fact)


@dataclass(frozen=True)
class GrowingWorld:
    """How the world of a split grows: its things join it one by one, in a fixed order."""

    size: int
    """Things in the whole world."""
    things: str
    """What they are, in the plural: `cities`."""
    smallest_N: "np.ndarray"
    """int32: the size of the smallest world that has everything a row is about."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model answered to every example of a split, one row each; kept by `trainers.folders.predictions`."""

    columns: Mapping[str, Any]
    """Name -> values: what was asked, `expected`, `predicted`, and whatever the metrics are computed from."""
    keys: tuple[str, ...]
    """The columns that say which example a row is, also in the predictions of another model."""
    scores: Mapping[str, Any]
    """Metric -> what every row contributes to it: the metric is their mean."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Metric -> weight of every row in that mean, where they do not count alike."""
    group: str = ""
    """The column whose equal values mark rows that are no independent examples, such as those of one task."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result of one evaluation. A task's trainer scores; `WorldTrainer` fills in split, stage and step."""

    metrics: Mapping[str, float]
    """Name -> value, without prefix; failures count in them."""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> score of a trivial answer; the one named "" is drawn as a line."""
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric -> name -> another value to compare with, such as the best possible one."""
    entropy_bound: float | None = None
    """The least possible loss, if it is known."""
    samples: Mapping[str, list[Any]]
    """Column -> values: the table of examples that is tracked. It is shown too, where there is a column `which`
    (`first`, `worst`, `random`) only its first ones."""
    values: Any
    """The primary quantity of every example, for the histogram."""
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    """Name of a table -> every prediction that the metrics are computed from. Of a text task without any, the answers
    are kept, without what each contributes to the metrics, so that these have no intervals."""
    figures: "Mapping[str, Callable[[], Figure]]" = field(default_factory=dict)
    """File name -> function that draws it; drawn once per evaluation on the main process."""
    split: str = ""
    stage: str = ""
    """`eval` during training, `final` at its end."""
    step: int = 0

    def flat(self) -> dict[str, float]:
        """Return all numbers in one level, as they are logged: `baseline_x`, `reference_<name>_x`, `entropy_bound`."""
        return flatten(self.metrics, self.baselines, self.references, self.entropy_bound)
