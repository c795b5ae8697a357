"""Compose and parse the names of metrics: `eval_validation_loss` in logs is `validation/loss` in MLflow.

Logs, `results.json` and `trainer_state.json` call a number `<stage>_<split>_<metric>`, where the stage is `eval` during
training and `final` at its end. MLflow's names are `<split>/<metric>` and `<split>_final/<metric>`, so that its page
lists the curves first. A number that metric x is compared with is `baseline_<name>_x` or `reference_<name>_x`; the one
without a name, `baseline_x`, is drawn as a line.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

EVAL, FINAL = "eval", "final"
ENTROPY_BOUND = "entropy_bound"


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


def tracked_name(logged: str, splits: Iterable[str]) -> str:
    """Return MLflow's name for a number in the logs: of an evaluation, or else of training."""
    name = parse_logged(logged, splits)
    return name.tracked if name else f"train/{logged.removeprefix('train_')}"


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


def baselines_of(tracked: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of baselines on one of a run's tracked metrics, by the baseline's name.

    A baseline belongs to the longest metric that its name ends with: `baseline_cell_accuracy` is none of `accuracy`
    where there is a `cell_accuracy`.
    """
    metric = tracked.rpartition("/")[2]
    start = f"{tracked.removesuffix(metric)}baseline"
    ends = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(f"{start}_")}
    longer = tuple(f"_{m}" for m in (name.rpartition("/")[2] for name in metrics) if m.endswith(f"_{metric}"))
    own = {end: value for end, value in ends.items() if end.endswith(f"_{metric}") and not end.endswith(longer)}
    return {end.removesuffix(f"_{metric}").removeprefix("_"): value for end, value in own.items()}
