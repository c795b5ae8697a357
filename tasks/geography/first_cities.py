"""Write the first cities of a growing world, those of `--grow SIZE:…`, as a table that the probe reads.

    python -m tasks.geography.first_cities outputs/runs/distance_flagship-001 --size 800 --to first_800.csv
    world-models probe outputs/runs/distance_flagship-001 --cities_csv first_800.csv

Runs of the same world, growing or not, have the same first cities.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.geography.growing import order_of_joining
from tasks.geography.world import stored_cities
from trainers.errors import UserError
from trainers.folders.run_folder import named_run
from trainers.options import option
from trainers.settings.command import command


@dataclass
class FirstCitiesOptions:
    """Which cities are written, and where."""

    run: str = option("", "folder of a run that trained in the world")
    size: int = option(0, "how many cities", least=0)
    to: str | None = option(None, "file to write", is_path=True)


@command(FirstCitiesOptions, positional="run")
def main(options: FirstCitiesOptions) -> None:
    """Write the table, with the numbers that the cities have in the world."""
    run = named_run(options.run)
    if not run.task.grows:
        raise UserError(f"{run.path} is of the task {run.task.name}, whose world does not grow; give another run")
    cities = stored_cities(run.dataset)
    if not 0 < options.size <= len(cities):
        raise UserError(f"--size is {options.size}, but the world has {len(cities):,} cities; give 1 to {len(cities)}")
    if options.to is None or Path(options.to).exists() or not Path(options.to).parent.is_dir():
        raise UserError(
            f"--to is {options.to}; give a file that does not exist yet, in a folder that does, such as"
            f" first_{options.size}.csv"
        )
    cities.take(np.sort(order_of_joining(cities)[: options.size])).write_csv(options.to)
    print(f"written: {options.to}, {options.size:,} of {len(cities):,} cities")


if __name__ == "__main__":
    sys.exit(main())
