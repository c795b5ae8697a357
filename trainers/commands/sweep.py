"""Train every combination of a grid, or let Optuna search: each child an ordinary run, all below one MLflow record.

    world-models sweep location_sweep
    world-models sweep location_sweep --seeds 3 --parallel 2
    world-models sweep location_search --seeds 3
    world-models sweep location_search --storage postgresql://user:password@host/optuna

A sweep is a YAML file below configs/studies/: a config, common flags, and a grid or a space to search. The same command
goes on where it was interrupted: finished runs are not trained again. With --seeds, which has a folder of its own,
every combination or draw is trained with each seed, and the mean decides. Several machines that are given one --storage
work on one search; on one machine, each with an --output_dir of its own.
"""

from dataclasses import dataclass

from trainers.options import option
from trainers.settings.command import command
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study_file import study_names

_NAMES = ", ".join(study_names(sweeps=True))


@dataclass
class SweepOptions:
    """Which sweep, and where."""

    study: str = option("location_sweep", f"a YAML file, or its name below configs/studies/: {_NAMES}")
    storage: str | None = option(None, "database of a search, e.g. postgresql://…; default: a file in the folder")
    output_dir: str | None = option(None, "folder of the sweep; default: <EXP_DIR_PREFIX>/sweeps/<study>")


@command(SweepOptions, ChildOptions, positional="study")
def main(options: SweepOptions, children: ChildOptions) -> None:
    """Run one sweep."""
    from trainers.studies.sweep import sweep

    sweep(options.study, options.storage, options.output_dir, children)
