"""Keep every prediction of an evaluation as Parquet, and read it again.

A file has what was asked, expected and predicted, and for every metric that is a mean over examples a column of its
name: the metric is the mean of that column (weighted by `<metric>_weight`, where there is one).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainers.contract import Evaluation, Predictions
from trainers.errors import UserError

SUFFIX = ".parquet"
_FACTS = b"world_models"


def weight_of(metric: str) -> str:
    """Return the name of the column with the weights of a metric's mean."""
    return f"{metric}_weight"


def write_predictions(folder: Path, evaluation: Evaluation, facts: Mapping[str, Any]) -> list[Path]:
    """Write every table of an evaluation as `<split>_<table>.parquet`, whole or not at all; return the paths.

    Args:
        facts: JSON values that the files carry besides split and step, such as the task's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = {**facts, "split": evaluation.split, "step": evaluation.step}
    return [
        _write(folder / f"{evaluation.split}_{name}{SUFFIX}", table, own)
        for name, table in evaluation.predictions.items()
    ]


def _write(path: Path, table: Predictions, facts: Mapping[str, Any]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    weights = {weight_of(name): values for name, values in table.weights.items()}
    columns = {name: pa.array(values) for name, values in {**table.columns, **table.scores, **weights}.items()}
    noted = {**facts, "keys": table.keys, "group": table.group, "scores": list(table.scores)}
    stored = pa.table(columns).replace_schema_metadata({_FACTS: json.dumps(noted).encode()})
    partial = path.with_name(f".{path.name}")
    pq.write_table(stored, partial)
    partial.replace(path)
    return path


class PredictionsFile:
    """Predictions as they were kept.

    Attributes:
        path: The file.
        facts: Task, split, step, `keys`, `group` and `scores` (see `trainers.contract.Predictions`).
        frame: The rows as a DataFrame.
    """

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            UserError: it holds no predictions.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            self.facts: dict[str, Any] = json.loads(table.schema.metadata[_FACTS])
        except (OSError, pa.ArrowException, TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"{path} holds no predictions of an evaluation; give a .parquet file that `world-models evaluate` or a"
                " training wrote"
            ) from error
        self.path = path
        self.frame: Any = table.to_pandas()

    @property
    def group(self) -> np.ndarray | None:
        """The values that mark rows that are no independent examples, or None if all are."""
        return self.frame[self.facts["group"]].to_numpy() if self.facts["group"] else None

    def weights(self, metric: str) -> np.ndarray | None:
        """Return the weight of every row in a metric's mean, or None if they count alike."""
        name = weight_of(metric)
        return self.frame[name].to_numpy(float) if name in self.frame else None

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that are means over the rows, computed from them."""
        return {
            name: float(np.average(self.frame[name].to_numpy(float), weights=self.weights(name)))
            for name in self.facts["scores"]
            if (weights := self.weights(name)) is None or weights.sum() > 0
        }
