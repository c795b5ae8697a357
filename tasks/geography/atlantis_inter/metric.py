"""The metric of `atlantis_inter`: absolute error in km, where an answer that cannot be read counts 20,000."""

from tasks.geography.pair_metric import AbsoluteError

__all__ = ["AbsoluteError"]
