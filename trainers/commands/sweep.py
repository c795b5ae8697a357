"""Train every combination of a grid, or let Optuna search: each child an ordinary run, all below one MLflow record.

    python -m trainers.commands.sweep --study location_sweep
    python -m trainers.commands.sweep --study location_search --storage postgresql://user:password@host/optuna

A study is a YAML file below configs/studies/: a config, common flags, and a grid or a space to search. The same command
goes on where it was interrupted: finished runs are not trained again. Several machines that are given one --storage
work on one search; on one machine, each with an --output_dir of its own.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from trainers.common import environment
from trainers.errors import UserError, exit_code_of
from trainers.folders.locks import hold_lock
from trainers.options import option
from trainers.studies.study_file import study_path
from trainers.studies.sweep import MARKER, run_sweep


@dataclass
class SweepOptions:
    """Which sweep, and where."""

    study: str = option("location_sweep", "a YAML file, or its name below configs/studies/")
    storage: str | None = option(None, "database of a search, e.g. postgresql://…; default: a file in the folder")
    output_dir: str | None = option(None, "folder of the sweep; default: <EXP_DIR_PREFIX>/sweeps/<study>")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 2 something for the user to mend, 130 interrupted."""
    try:
        return exit_code_of(lambda: _sweep(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr, flush=True)
        return 130


def _sweep(argv: list[str]) -> None:
    environment.set_up()
    from trainers.folders import command_folder
    from trainers.settings import help_text

    given = help_text.read_or_help(argv, __doc__, SweepOptions)
    if given is None:
        return
    from trainers.studies.sweep_plan import read_sweep

    path = study_path(given.study)
    sweep = read_sweep(path)
    if sweep.grid and given.storage:
        raise UserError(f"--storage is for a search, and {path} is a grid; leave it out")
    default = environment.resolved_prefix() / "sweeps" / sweep.name
    folder = command_folder.own_folder(Path(given.output_dir or default), MARKER)
    with hold_lock(folder):
        folder.mkdir(exist_ok=True)
        run_sweep(sweep, path, folder, given.storage or f"sqlite:///{folder / 'optuna.db'}")


if __name__ == "__main__":
    sys.exit(main())
