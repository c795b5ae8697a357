"""Which split an evaluation's metrics belong to, and the prefixes of its reference metrics."""

from collections.abc import Mapping

from trainers.base import WorldTrainer


def evaluated_split(metrics: Mapping[str, float], trainer: WorldTrainer) -> tuple[str, str]:
    """The prefix (`eval_memorisation_`) and split (`memorisation`) that an evaluation's metrics belong to."""
    prefix = next(name.removesuffix("loss") for name in metrics if name.endswith("_loss"))
    split = next(split for split in trainer.assessments if prefix.endswith(f"_{split}_"))
    return prefix, split


REFERENCE_PREFIXES = ("baseline_", "reference_")
"""Metrics whose names begin so are shown in parentheses behind the metric they belong to."""
