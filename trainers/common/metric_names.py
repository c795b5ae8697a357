"""Compose and parse the names of metrics: `eval_validation_loss` in logs is `validation/loss` in MLflow.

Logs, `results.json` and `trainer_state.json` call a number `<stage>_<split>_<metric>`, where the stage is `eval` during
training and `final` at its end. A number that metric x is compared with is `baseline_<name>_x` or `reference_<name>_x`;
the one without a name, `baseline_x`, is drawn as a line.

MLflow's names are `<split>/<metric>`. Its page sorts charts by name: the primary metric has a copy in the group
`Primary`, which comes first; times are in the group `timings`; what never changes (`validation/baseline_x`) is a
parameter. Of the final numbers only `<split>_final/<primary metric>` is a metric, by which runs are sorted; all are in
`results.json`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

EVAL, FINAL = "eval", "final"
ENTROPY_BOUND = "entropy_bound"
SPEEDS = ("_runtime", "_per_second", "_time")
"""Endings of what the Trainer measures of an evaluation's speed, which is no result."""
TIMES = ("runtime", "elapsed_s")


class MetricName(NamedTuple):
    """One metric of one split, evaluated during training (`eval`) or at its end (`final`)."""

    stage: str
    split: str
    metric: str

    @property
    def logged(self) -> str:
        """The name in logs, `results.json` and `trainer_state.json`."""
        return f"{self.stage}_{self.split}_{self.metric}"

    @property
    def is_constant(self) -> bool:
        """Whether this is what a metric is compared with, which no training changes."""
        return self.metric == ENTROPY_BOUND or self.metric.startswith(("baseline_", "reference_"))

    @property
    def tracked(self) -> str:
        """The name in MLflow."""
        return f"{self.split}{'' if self.stage == EVAL else f'_{self.stage}'}/{self.metric}"


def parse_logged(text: str, splits: Iterable[str]) -> MetricName | None:
    """Parse a name in logs; None if it belongs to no evaluation of these splits."""
    for split in sorted(splits, key=len, reverse=True):
        for stage in (EVAL, FINAL):
            if text.startswith(f"{stage}_{split}_"):
                return MetricName(stage, split, text.removeprefix(f"{stage}_{split}_"))
    return None


def parse_tracked(text: str) -> MetricName:
    """Parse a name in MLflow."""
    group, _, metric = text.rpartition("/")
    split = group.removesuffix(f"_{FINAL}")
    return MetricName(EVAL if split == group else FINAL, split, metric)


def tracked_numbers(
    logged: Mapping[str, Any], splits: Collection[str], primary: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what MLflow gets of an entry of the logs, as metrics and as parameters.

    Args:
        primary: The task's primary metric.
    """
    metrics, params = {}, {}
    for text, value in logged.items():
        name = parse_logged(text, splits)
        if text == "step" or text.endswith("_per_second") or not isinstance(value, (int, float)):
            continue
        if name is None:
            metrics[f"train/{text}"] = value
        elif name.is_constant:
            params[name._replace(stage=EVAL).tracked] = value  # also of `test`, which is seen at the end only
        elif name.metric in TIMES:
            metrics |= {f"timings/{name.split}_{name.metric}": value} if name.stage == EVAL else {}
        elif name.stage == EVAL or name.metric == primary:
            metrics[name.tracked] = value
            if name.stage == EVAL and name.metric == primary:
                metrics[f"Primary/{name.split}_{primary}"] = value
    return metrics, params


def best_model_key(metric: str) -> str:
    """Return the logged name of `--metric_for_best_model`, which may lack `eval_`."""
    return f"{EVAL}_{metric.removeprefix(f'{EVAL}_')}"


def splits_with(metric: str, stage: str, names: Collection[str]) -> list[str]:
    """Return the splits whose evaluation at this stage is among the logged names, with this metric; each has a loss."""
    start, end = f"{stage}_", "_loss"
    splits = [n.removeprefix(start).removesuffix(end) for n in names if n.startswith(start) and n.endswith(end)]
    return [split for split in splits if MetricName(stage, split, metric).logged in names]


def baseline(name: str, metric: str, kind: str = "baseline") -> str:
    """Return the name of a baseline's score on a metric."""
    return "_".join(filter(None, (kind, name, metric)))


def flatten(
    metrics: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    references: Mapping[str, Mapping[str, float]],
    entropy_bound: float | None = None,
) -> dict[str, float]:
    """Return metrics, baselines and references (metric -> name -> value) in one level."""
    flat = {name: float(value) for name, value in metrics.items()}
    for kind, by_metric in (("baseline", baselines), ("reference", references)):
        for metric, values in by_metric.items():
            flat |= {baseline(name, metric, kind): float(value) for name, value in values.items()}
    return flat if entropy_bound is None else {**flat, ENTROPY_BOUND: float(entropy_bound)}


def baselines_of(tracked: str, metrics: Mapping[str, float], params: Mapping[str, str]) -> dict[str, float]:
    """Return the scores of baselines on one of a run's tracked metrics, by the baseline's name.

    A baseline belongs to the longest metric that its name ends with: `baseline_cell_accuracy` is none of `accuracy`
    where there is a `cell_accuracy`.
    """
    _, split, metric = parse_tracked(tracked)
    starts = [f"{MetricName(stage, split, 'baseline').tracked}_" for stage in (FINAL, EVAL)]  # runs of before had both
    numbers = [(start, name, value) for start in starts for name, value in {**metrics, **params}.items()]
    ends = {f"_{n.removeprefix(start)}": float(v) for start, n, v in numbers if n.startswith(start)}
    longer = tuple(f"_{m}" for m in (name.rpartition("/")[2] for name in metrics) if m.endswith(f"_{metric}"))
    own = {end: value for end, value in ends.items() if end.endswith(f"_{metric}") and not end.endswith(longer)}
    return {end.removesuffix(f"_{metric}").removeprefix("_"): value for end, value in own.items()}
