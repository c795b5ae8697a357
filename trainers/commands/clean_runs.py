"""Delete tracked runs for good: those marked deleted in MLflow (`mlflow ui`), or those that match a filter.

    world-models clean-runs
    world-models clean-runs --query "tags.task = 'location' and attributes.status = 'FAILED'" --folders

What would go is listed first, and goes after `yes`: the record with its artifacts and models, and with --folders what
the run wrote in its output folder; other files stay. What is still running, or has a registered model, is never
deleted.
"""

from dataclasses import dataclass

from trainers.options import option
from trainers.settings.command import command


@dataclass
class CleanOptions:
    """What is deleted."""

    query: str = option("", "MLflow's filter of the runs to delete; default: those that are marked deleted")
    folders: bool = option(False, "delete what the runs wrote in their output folders too")
    yes: bool = option(False, "do not ask (for scripts)")


@command(CleanOptions)
def main(options: CleanOptions) -> None:
    """List what would go, ask, and delete it."""
    from trainers.tracking.deletion import clean

    clean(**vars(options))
