"""Train, load, evaluate and read runs from Python: what the commands do, as objects.

`prepare` returns a `PreparedRun` (its data, model and trainer), and that trains; `load_run` returns any run that was
trained. A `Run` evaluates and predicts, and has its curves and predictions as DataFrames. README.md shows all in ten
lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import registry
from trainers.common import environment
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder, named_run

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel

    from trainers.base import WorldTrainer
    from trainers.contract import StoredDataset
    from trainers.probes.probe import ProbeResult
    from trainers.runs.evaluation import Scores
    from trainers.runs.session import Prepared


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start; nothing has been written to its folder yet."""

    prepared: "Prepared"

    @property
    def data(self) -> "StoredDataset":
        """The dataset: its path, splits and metadata."""
        return self.prepared.data

    @property
    def trainer(self) -> "WorldTrainer":
        """The task's Trainer."""
        return self.prepared.trainer

    @property
    def model(self) -> "PreTrainedModel":
        """The model, untrained or as it is resumed."""
        return self.trainer.unwrapped_model

    def train(self) -> "Run":
        """Claim the folder, train, evaluate and save as `world-models train` does; return the finished run."""
        from trainers.runs import session

        if self.prepared.settings.run.dry_run:
            raise UserError("dry_run is set, with which nothing is trained; leave it out to train")
        if self.trainer.state.global_step or self.trainer.state.log_history:
            raise UserError(
                "this run was trained already, so its model is no longer what was prepared; prepare it again"
            )
        return Run(RunFolder(session.train(self.prepared)))


@dataclass(frozen=True)
class Run:
    """A run in its folder."""

    folder: RunFolder

    @property
    def results(self) -> dict[str, Any]:
        """Final metrics by name; a `UserError` if the run is not finished."""
        return self.folder.results

    def evaluate(
        self, checkpoint: str | int = "best", split: str | None = None, dataset: str | None = None, **options: Any
    ) -> "dict[str, Scores]":
        """Evaluate weights of the run; return the scores by split. Nothing is written or tracked.

        Args:
            checkpoint: `best`, `last` or a step.
            split: By default all but train.
            dataset: Folder of another dataset of the task.
            options: Options of the dataset that differ from the run's own; it is built if it does not exist.

        Raises:
            UserError: there are no such weights, split or dataset.
        """
        from trainers.folders.run_dataset import dataset_of, dataset_options
        from trainers.runs.evaluation import score_splits
        from trainers.settings.layers import as_strings
        from trainers.settings.resolve import read_command

        kind = self.folder.task.options if dataset else dataset_options(self.folder)
        (typed,) = read_command(as_strings(options, "evaluate"), kind)
        data = dataset_of(self.folder, dataset, typed)
        scored = score_splits(self.trainer(checkpoint, data), split)
        return {scores.evaluation.split: scores for scores in scored}

    def predict(self, prompts: str | Sequence[str], checkpoint: str | int = "best") -> "pd.DataFrame":
        """Answer prompts; return a row for each: the answer and, where it is known, what it means.

        Raises:
            UserError: the task has no prompts, there are no such weights, or something cannot be asked.
        """
        import pandas as pd

        from trainers.runs.prediction import Source, answer_prompts

        asked = [prompts] if isinstance(prompts, str) else list(prompts)
        if not asked:
            raise UserError("no prompts given; give a text or a list of texts")
        return pd.DataFrame(answer_prompts(self.folder, str(checkpoint), Source(prompts=asked))[1])

    def probe(self, **options: Any) -> "dict[int, ProbeResult]":
        """Probe every checkpoint as `world-models probe` does; return the results by step.

        Args:
            options: Flags of the probe of the run's task.

        Raises:
            UserError: the task has no probe, or the options do not fit.
        """
        from trainers.probes.checkpoints import probe_options, probe_run

        return probe_run(self.folder, probe_options(str(self.folder.path))(**options))[1]

    def trainer(self, checkpoint: str | int = "best", data: "StoredDataset | None" = None) -> "WorldTrainer":
        """Return the run's Trainer with these weights, on its own dataset or another."""
        from trainers.folders.run_dataset import own_dataset
        from trainers.folders.weights import named_weights
        from trainers.runs.trained import load_trainer, settings_of

        weights = named_weights(self.folder, str(checkpoint))
        if len(weights) > 1:
            raise UserError(f"checkpoint is {checkpoint!r}; give best, last or one step")
        ((step, path),) = weights.items()
        return load_trainer(settings_of(self.folder), path, step, data or own_dataset(self.folder))

    def predictions(self, split: str) -> "pd.DataFrame":
        """Return every prediction of the last evaluation of a split.

        Raises:
            UserError: the run has kept none of this split.
        """
        from trainers.folders.predictions import SUFFIX, PredictionsFile

        paths = sorted(self.folder.predictions.glob(f"{split}_*{SUFFIX}"))
        if not paths:
            files = map(PredictionsFile, sorted(self.folder.predictions.glob(f"*{SUFFIX}")))
            known = ", ".join(dict.fromkeys(file.facts["split"] for file in files)) or "none"
            raise UserError(f"{self.folder.path} has no predictions of the split {split!r}; it has {known}")
        return PredictionsFile(paths[0]).frame

    def curves(self) -> "pd.DataFrame":
        """Return what was logged in training, a row for every step and a column for every number.

        Raises:
            UserError: the run has no checkpoint yet.
        """
        import pandas as pd

        from trainers.folders.checkpoints import read_state

        newest = self.folder.path if self.folder.is_finished else self.folder.last_checkpoint
        if newest is None:
            raise UserError(
                f"{self.folder.path} has no complete checkpoint yet, so there are no curves; train it further"
            )
        return pd.DataFrame(read_state(newest)["log_history"]).groupby("step").first()


def prepare(task: str, **settings: Any) -> PreparedRun:
    """Validate settings and build dataset, model and Trainer of a task.

    Args:
        task: Its name.
        settings: What are flags on the command line, e.g. `n_cities=60, use_cpu=True`.

    Raises:
        UserError: anything that would make the run fail.
    """
    environment.set_up()  # before transformers is imported

    from trainers.base import check_parts
    from trainers.runs import session
    from trainers.settings.layers import argv_of, as_strings
    from trainers.settings.request import read_request
    from trainers.settings.resolve import resolve_settings

    request = read_request(argv_of(as_strings({"task": task, **settings}, "prepare")), registry.load)
    prefix = environment.resolved_prefix()
    check_parts(request.task)
    return PreparedRun(session.prepare(resolve_settings(request), prefix))


def load_run(folder: str | Path) -> Run:
    """Return the run in a folder.

    Raises:
        UserError: it is no run's.
    """
    environment.set_up()
    run = named_run(str(folder))
    run.check_marker()
    return Run(run)
