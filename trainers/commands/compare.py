"""Compare tracked runs: one table and one figure of a metric over steps, labelled by what differs between the runs.

    world-models compare --query "tags.task = 'location' and params.learning_rate = '0.001'"
    world-models compare --metric memorisation/loss --limit 5

Runs come from MLflow's store, the newest first. Nothing is changed there; only the table (compare.csv) and the figure
(compare.png) are written, and written anew by the same command.
"""

from dataclasses import dataclass

from trainers.options import option
from trainers.settings.command import command


@dataclass
class CompareOptions:
    """Which runs, by what."""

    query: str = option("", "MLflow's filter, e.g. \"tags.task = 'location'\"; default: all runs")
    metric: str | None = option(None, "e.g. memorisation/haversine_km_mean; default: the task's primary metric")
    greater_is_better: bool | None = option(None, "direction of a --metric that is no loss and no primary metric")
    limit: int = option(20, "at most so many runs, the newest", least=1, most=1000)
    output_dir: str | None = option(None, "where to write; default: <EXP_DIR_PREFIX>/compare/<name by the query>")


@command(CompareOptions)
def main(options: CompareOptions) -> None:
    """Compare the runs that match."""
    from trainers.tracking.comparison import compare

    compare(**vars(options))
