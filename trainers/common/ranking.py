"""Rank evaluations: by the metric that chooses, of equal ones by the lower loss, then by the later step."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainers.common.metric_names import best_model_key


def best_steps(history: Sequence[Mapping[str, Any]], metric: str | None, greater: bool, count: int) -> list[int]:
    """Return the steps of the `count` best evaluations, the best one first.

    Args:
        history: `trainer.state.log_history`.
        metric: The metric that chooses, with or without `eval_`.
        greater: Whether greater values of it are better.
    """
    name = best_model_key(str(metric))
    ranked = sorted(
        (-entry[name] if greater else entry[name], loss_of(entry, name), -entry["step"])
        for entry in history
        if name in entry
    )
    return [-step for _, _, step in ranked[:count]]


def loss_of(entry: Mapping[str, Any], metric: str) -> float:
    """Return the loss of the split that `metric` belongs to, `eval_validation_loss` for `eval_validation_x`."""
    losses = [name for name in entry if name.endswith("_loss") and metric.startswith(name.removesuffix("loss"))]
    return float(entry[losses[0]]) if losses else 0.0
