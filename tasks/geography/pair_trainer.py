"""The Trainer of every task that asks for a distance: answers are read strictly, scored in km and drawn."""

import numpy as np

from tasks.geography.charts import predicted_against_true
from tasks.geography.pair_answers import parse_km
from tasks.geography.pair_metric import absolute_errors_km
from tasks.geography.pairs import distances_km
from trainers.contract import Evaluation
from trainers.text import TextRows, TextTrainer


class PairTrainer(TextTrainer):
    """Scores generated distances; examples with a column `kind` are also scored kind by kind."""

    has_baselines = True

    def score(self, rows: TextRows, answers: list[str]) -> Evaluation:
        """Compare generated with true distances."""
        true_km, predicted_km = distances_km(rows.table), np.array([parse_km(answer) for answer in answers])
        error_km = absolute_errors_km(predicted_km, true_km)
        metrics = self.metric.compute(predictions=predicted_km, references=true_km)
        is_kind = masks_of_kinds(rows)
        by_kind = {f"abs_error_km_mean_{kind}": error_km for kind in is_kind}
        scores = {"abs_error_km_mean": error_km, **by_kind, "parse_rate": ~np.isnan(predicted_km)}
        weights = dict(zip(by_kind, is_kind.values(), strict=True))
        title = f"{self.task.name}, {rows.split}, step {self.state.global_step:,}"
        return Evaluation(
            metrics={**metrics, **{name: float(error_km[mask].mean()) for name, mask in weights.items()}},
            samples=self.samples(rows, answers, error_km=error_km),
            predictions=self.predictions(rows, answers, scores, weights=weights),
            values=error_km,
            figures={"distances.png": lambda: predicted_against_true(true_km, predicted_km, title)},
        )


def masks_of_kinds(rows: TextRows) -> dict[str, np.ndarray]:
    """Return which examples are of each kind, (n,) bool by the kind's name; nothing if they have none."""
    if "kind" not in rows.table.column_names:
        return {}
    kinds = np.array(rows.table["kind"])
    return {kind: kinds == kind for kind in sorted(set(kinds.tolist()))}
