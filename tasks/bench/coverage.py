"""Simulate studies and count how often the 95 % interval over seeds holds the true mean; it should be 93 to 97 %.

    python -m tasks.bench.coverage
    python -m tasks.bench.coverage --studies 10000

Every study has a few seeds with normal, uniform or skewed scores. Student's interval of a mean is exact for normal;
of skewed ones it holds the mean less often, of the difference of pairs with one seed more often.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainers.common.intervals import mean_interval, paired_interval
from trainers.common.tables import format_table
from trainers.options import option
from trainers.settings.command import command

SCORES: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "normal": (lambda rng, n: rng.normal(0.0, 1.0, n), 0.0),
    "uniform": (lambda rng, n: rng.uniform(0.0, 1.0, n), 0.5),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0),
}
"""Name -> draw of n scores, and their true mean."""
_SEED = 1


@dataclass
class CoverageOptions:
    """How many studies."""

    studies: int = option(1_000, "simulated studies of each kind", least=1, most=1_000_000)


@command(CoverageOptions)
def main(options: CoverageOptions) -> None:
    """Print the coverage by distribution and number of seeds."""
    rows = []
    for name in SCORES:
        for seeds in (3, 5, 10):
            mean, difference = coverage(name, seeds, options.studies)
            rows.append({"scores": name, "seeds": seeds, "mean": mean, "paired difference": difference})
    print(format_table(rows, dict.fromkeys(("mean", "paired difference"), ".1%")))


def coverage(name: str, seeds: int, studies: int) -> tuple[float, float]:
    """Return the shares of studies whose interval holds the true mean, and the true difference of two models."""
    draw, true = SCORES[name]
    rng = np.random.default_rng([_SEED, seeds])
    held = {"mean": 0, "difference": 0}
    for _ in range(studies):
        shared, first, second = (draw(rng, seeds) for _ in range(3))
        one, other = (dict(enumerate((shared + own).tolist())) for own in (first, second))
        held["mean"] += _holds(mean_interval(first.tolist()), true)
        held["difference"] += _holds(paired_interval(one, other), 0.0)
    return held["mean"] / studies, held["difference"] / studies


def _holds(stated: dict[str, float], value: float) -> bool:
    return stated["95 % from"] <= value <= stated["95 % to"]


if __name__ == "__main__":
    raise SystemExit(main())
