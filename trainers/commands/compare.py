"""Compare tracked runs: one table and one figure of a metric over steps, labelled by what differs between the runs.

    world-models compare --query "tags.task = 'location' and params.learning_rate = '0.001'"
    world-models compare --metric memorisation/loss --limit 5
    world-models compare outputs/runs/location-001 outputs/runs/location-002 --paired

Runs come from MLflow's store, the newest first. Nothing is changed there; only the table (compare.csv) and the figure
(compare.png) are written, and written anew by the same command. With --paired, two models are compared example by
example from their kept predictions (files, or folders of a run or evaluation): difference, interval, what changed.
"""

from dataclasses import dataclass

from trainers.errors import UserError
from trainers.options import option
from trainers.settings.command import command


@dataclass
class CompareOptions:
    """Which runs or predictions, by what."""

    first: str = option("", "with --paired: predictions of a model")
    second: str = option("", "with --paired: those of the other one")
    paired: bool = option(False, "compare the predictions of two models example by example")
    query: str = option("", "MLflow's filter, e.g. \"tags.task = 'location'\"; default: all runs")
    metric: str | None = option(None, "e.g. memorisation/haversine_km_mean; default: the task's primary metric")
    greater_is_better: bool | None = option(None, "direction of a --metric that is no loss and no primary metric")
    limit: int = option(20, "at most so many runs, the newest", least=1, most=1000)
    output_dir: str | None = option(None, "where to write; default: <EXP_DIR_PREFIX>/compare/<name by the query>")


@command(CompareOptions, positional="first second")
def main(options: CompareOptions) -> None:
    """Compare the runs that match, or two models by their predictions."""
    from trainers.studies.paired import compare_paired
    from trainers.tracking.comparison import compare

    chosen = dict(vars(options))
    first, second, is_paired = (chosen.pop(name) for name in ("first", "second", "paired"))
    if is_paired and not (first and second):
        raise UserError("--paired needs two: predictions, evaluations or runs, as in `compare RUN OTHER --paired`")
    if first and not is_paired:
        raise UserError(
            f"{first} is given, but runs are chosen by --query; to compare two models' predictions, add --paired"
        )
    defaults = vars(CompareOptions())
    if idle := [
        name for name in ("query", "greater_is_better", "limit") if is_paired and chosen[name] != defaults[name]
    ]:
        raise UserError(f"--{', --'.join(idle)} would do nothing with --paired; leave it out")
    if is_paired:
        compare_paired(first, second, options.metric, options.output_dir)
    else:
        compare(**chosen)
