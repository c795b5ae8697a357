"""Write params, tags, metrics, tables, files, datasets and the model of a run to MLflow."""

import importlib.metadata
import json
import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainers.contract import StoredDataset

_TABLES_TAG, _TABLES_NAMED = "mlflow.loggedArtifacts", 50
_BATCH = 200  # metrics sent in one call: a call costs ~9 ms of CPU whether it carries one or many


class Tracker:
    """Writes to one MLflow run, in the store that `open_store` has set.

    Args:
        last_steps: The last step of each metric that the MLflow run has already.
    """

    def __init__(self, run_id: str, last_steps: Mapping[str, int] | None = None) -> None:
        from mlflow import MlflowClient

        self.run_id, self.client = run_id, MlflowClient()
        self._last_steps = dict(last_steps or {})
        self._waiting: list[Any] = []

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; a value that a resumed run changes becomes a tag `drift.<name>`: MLflow keeps the old one."""
        from mlflow.entities import Param, RunTag

        known = self.client.get_run(self.run_id).data.params
        texts = {name: str(value) for name, value in params.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        drift = [RunTag(f"drift.{n}", text) for n, text in texts.items() if n in known and known[n] != text]
        self.client.log_batch(self.run_id, params=new, tags=drift)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags, except those whose value is None."""
        for name, value in tags.items():
            if value is not None:
                self.client.set_tag(self.run_id, name, str(value))

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
            self.client.log_batch(self.run_id, metrics=batch)

    def table(self, columns: Mapping[str, list[Any]], name: str) -> None:
        """Log columns as a table that MLflow's page shows.

        This is `log_table` without its limit: MLflow lists tables in a tag, cuts it at 8,000 characters and then fails
        at the next table. Here the tag lists the newest tables only; all are artifacts.
        """
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        self.client.log_dict(self.run_id, {"columns": list(columns), "data": rows}, name)
        known = json.loads(self.client.get_run(self.run_id).data.tags.get(_TABLES_TAG, "[]"))
        others = [entry for entry in known if entry["path"] != name]
        newest = [*others, {"path": name, "type": "table"}][-_TABLES_NAMED:]
        self.client.set_tag(self.run_id, _TABLES_TAG, json.dumps(newest))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log one file as an artifact."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def model(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", step: int) -> None:
        """Log a text model, with the metrics of `step`, so that `mlflow.transformers.load_model` can load it."""
        logging.getLogger("mlflow.transformers").setLevel(logging.ERROR)  # it looks for a card on a hub
        parts = {"model": model, "tokenizer": tokenizer}
        versions = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in ("torch", "transformers")]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow's own code, on import
            from mlflow import transformers as flavor  # pyright: ignore[reportPrivateImportUsage]

            self.flush()
            flavor.log_model(parts, name="model", task="text-generation", pip_requirements=versions, step=step)

    def text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self.client.log_text(self.run_id, text, name)

    def dataset(self, data: "StoredDataset") -> None:
        """Log every split, with its folder and digest, as an input of the active run."""
        import mlflow
        from mlflow.data.huggingface_dataset import from_huggingface

        for name, split in data.splits.items():
            digest = data.metadata["splits"][name]["sha256"][:12]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Hint: Inferred schema")  # our integers have no missing values
                source = from_huggingface(split, path=str(data.path), name=f"{data.path.name}/{name}", digest=digest)
                mlflow.log_input(source, "training" if name == "train" else name)
