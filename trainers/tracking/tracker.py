"""Write params, tags, metrics, tables, files, datasets and the model of a run to MLflow."""

import importlib.metadata
import json
import logging
import re
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainers.contract import StoredDataset

_TABLES_TAG = "mlflow.loggedArtifacts"
_BATCH = 200  # metrics sent in one call: a call costs ~9 ms of CPU whether it carries one or many
_PARAMS = 100  # MLflow's limit of a call
_UNSET = (None, "", {}, [])


def losses() -> tuple[type[Exception], ...]:
    """Return what MLflow raises where its store or artifacts no longer take what is written."""
    from mlflow import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


class Tracker:
    """Writes to one MLflow run, in the store that `open_store` has set.

    Args:
        last_steps: The last step of each metric that the MLflow run has already.
        ends_training: Whether a store that takes no more ends the training as SIGTERM does, with a checkpoint; the
            error is then in `lost`, and nothing more is written. Else it is raised.
    """

    def __init__(self, run_id: str, last_steps: Mapping[str, int] | None = None, ends_training: bool = False) -> None:
        from mlflow import MlflowClient

        self.run_id, self.client, self.ends_training = run_id, MlflowClient(), ends_training
        self.lost: Exception | None = None
        self._last_steps = dict(last_steps or {})
        self._waiting: list[Any] = []
        self._tables: list[str] = []

    def _send(self, write: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a function that writes to MLflow, unless its store is lost."""
        if self.lost is not None:
            return
        try:
            write(*args, **kwargs)
        except losses() as error:
            if not self.ends_training:
                raise
            self.lost = error
            signal.raise_signal(signal.SIGTERM)

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters that are set; one that a resumed run changes becomes the tag `drift.<name>`: both stay."""
        self._send(self._params, {name: str(value) for name, value in params.items() if value not in _UNSET})

    def _params(self, texts: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        known = self.client.get_run(self.run_id).data.params
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        drift = [RunTag(f"drift.{n}", text) for n, text in texts.items() if n in known and known[n] != text]
        for start in range(0, len(new), _PARAMS):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMS])
        self.client.log_batch(self.run_id, tags=drift)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags, except those whose value is None."""
        for name, value in tags.items():
            if value is not None:
                self._send(self.client.set_tag, self.run_id, name, str(value))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics, to be sent in batches and by `flush`.

        A number is written once a step: a resumed run repeats steps that are tracked already.
        """
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        new = {name: value for name, value in values.items() if step > self._last_steps.get(name, -1)}
        self._last_steps |= dict.fromkeys(new, step)
        self._waiting += [Metric(name, float(value), now_ms, step) for name, value in new.items()]
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Send queued metrics."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            self._send(self.client.log_batch, self.run_id, metrics=batch)

    def table(self, columns: Mapping[str, list[Any]], name: str) -> None:
        """Log columns as a table that MLflow's page shows: what `log_table` does, but in the place of an older one."""
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        self._send(self.client.log_dict, self.run_id, {"columns": list(columns), "data": rows}, name)
        if name not in self._tables:
            self._tables.append(name)
            shown = [{"path": path, "type": "table"} for path in self._tables]
            self._send(self.client.set_tag, self.run_id, _TABLES_TAG, json.dumps(shown))

    def rows(self, name: str) -> list[list[Any]]:
        """Return the rows of a table that the MLflow run has, or none."""
        from mlflow import MlflowException
        from mlflow.artifacts import load_text

        try:
            return json.loads(load_text(f"runs:/{self.run_id}/{name}"))["data"]
        except (MlflowException, OSError, ValueError, LookupError):
            return []

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log one file as an artifact."""
        self._send(self.client.log_artifact, self.run_id, str(path), folder)

    def text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._send(self.client.log_text, self.run_id, text, name)

    def model(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", step: int, name: str) -> None:
        """Log a text model, with the metrics of `step`, so that `mlflow.transformers.load_model` can load it."""
        logging.getLogger("mlflow.transformers").setLevel(logging.ERROR)  # it looks for a card on a hub
        parts = {"model": model, "tokenizer": tokenizer}
        versions = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in ("torch", "transformers")]
        task, plain = "text-generation", re.sub(r"[/:.%\"']", "_", name)  # characters that MLflow refuses
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow's own code, on import
            from mlflow import transformers as flavor  # pyright: ignore[reportPrivateImportUsage]

            self.flush()
            self._send(flavor.log_model, parts, name=plain, task=task, pip_requirements=versions, step=step)

    def dataset(self, data: "StoredDataset") -> None:
        """Log every split, with its folder and digest, as an input of the active run."""
        import mlflow
        from mlflow.data.huggingface_dataset import from_huggingface

        for name, split in data.splits.items():
            digest = data.metadata["splits"][name]["sha256"][:12]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Hint: Inferred schema")  # our integers have no missing values
                source = from_huggingface(split, path=str(data.path), name=f"{data.path.name}/{name}", digest=digest)
                self._send(mlflow.log_input, source, "training" if name == "train" else name)
