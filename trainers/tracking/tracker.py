"""What a run writes into its MLflow record: params, tags, metrics, tables, files, datasets, the model."""

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
    """What a run writes to MLflow; without a run id (another process than the main one) every call does nothing."""

    def __init__(self, run_id: str | None = None, recorded: Mapping[str, int] | None = None) -> None:
        """A tracker of a run; `recorded` is the last step that its record has of each metric already."""
        self.run_id, self._recorded = run_id, dict(recorded or {})
        self._waiting: list[Any] = []

    @property
    def client(self) -> Any:
        """MLflow's client for the store that `tracked_run` has set."""
        from mlflow import MlflowClient

        return MlflowClient()

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; on a resumed run a changed value becomes a tag `drift.<name>`, since MLflow keeps the old."""
        if self.run_id is None:
            return
        from mlflow.entities import Param, RunTag

        known = self.client.get_run(self.run_id).data.params
        texts = {name: str(value) for name, value in params.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        drift = [RunTag(f"drift.{n}", text) for n, text in texts.items() if n in known and known[n] != text]
        self.client.log_batch(self.run_id, params=new, tags=drift)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a value that is None is left out."""
        for name, value in tags.items():
            if self.run_id is not None and value is not None:
                self.client.set_tag(self.run_id, name, str(value))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Collect metrics; they are sent in batches and whenever `flush` is called.

        A number is written once a step: steps that a resumed run does again give what the record has already.
        """
        if self.run_id is None:
            return
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        new = {name: value for name, value in values.items() if step > self._recorded.get(name, -1)}
        self._recorded |= dict.fromkeys(new, step)
        self._waiting += [Metric(name, float(value), now_ms, step) for name, value in new.items()]
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what is waiting."""
        while self.run_id is not None and self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            self.client.log_batch(self.run_id, metrics=batch)

    def table(self, columns: Mapping[str, list[Any]], name: str) -> None:
        """Log columns as a table that MLflow's page shows.

        This is `log_table` without its limit: the tag by which the page knows tables is cut at 8,000 characters, and
        MLflow fails at the next table once it is. Here the tag names the newest tables only; all are artifacts.
        """
        if self.run_id is None:
            return
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        self.client.log_dict(self.run_id, {"columns": list(columns), "data": rows}, name)
        known = json.loads(self.client.get_run(self.run_id).data.tags.get(_TABLES_TAG, "[]"))
        others = [entry for entry in known if entry["path"] != name]
        newest = [*others, {"path": name, "type": "table"}][-_TABLES_NAMED:]
        self.client.set_tag(self.run_id, _TABLES_TAG, json.dumps(newest))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log one file as an artifact."""
        if self.run_id is not None:
            self.client.log_artifact(self.run_id, str(path), folder)

    def model(self, network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", step: int) -> None:
        """Log a text model so that MLflow can register it, and load it by `mlflow.transformers.load_model`.

        Its page shows the metrics of `step`.
        """
        if self.run_id is None:
            return
        logging.getLogger("mlflow.transformers").setLevel(logging.ERROR)  # it looks for a card on a hub
        parts = {"model": network, "tokenizer": tokenizer}
        versions = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in ("torch", "transformers")]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow's own code, on import
            from mlflow import transformers as flavor  # pyright: ignore[reportPrivateImportUsage]

            self.flush()
            flavor.log_model(parts, name="model", task="text-generation", pip_requirements=versions, step=step)

    def text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        if self.run_id is not None:
            self.client.log_text(self.run_id, text, name)

    def dataset(self, data: "StoredDataset") -> None:
        """Record every split as an input of the (active) run, with the folder it came from and its digest as name."""
        if self.run_id is None:
            return
        import mlflow
        from mlflow.data.huggingface_dataset import from_huggingface

        for name, split in data.splits.items():
            digest = data.metadata["splits"][name]["sha256"][:12]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Hint: Inferred schema")  # our integers have no missing values
                source = from_huggingface(split, path=str(data.path), name=f"{data.path.name}/{name}", digest=digest)
                mlflow.log_input(source, "training" if name == "train" else name)
