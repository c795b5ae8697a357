"""Probe every checkpoint of a run: what can be read from its hidden states, as table, curves, map and animation.

    python -m trainers.commands.probe --run outputs/runs/distance-001 --protocol original

Everything goes to `<run>/probe/<label>/` and into the run's MLflow record. Linear CKA to the run's own last checkpoint
is measured too, or with --compare to another model (a run's folder or one of its checkpoints).
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.errors import UserError, exit_code_of
from trainers.options import option
from trainers.probes.checkpoints import probe_run


@dataclass
class ProbeRunOptions:
    """Which run is probed."""

    run: str = option("", "folder of a run")
    compare: str | None = option(None, "another model, to which every checkpoint's linear CKA is measured")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return exit_code_of(lambda: _probe(argv))


def _probe(argv: Sequence[str]) -> None:
    environment.set_up()
    from trainers.folders.run_folder import RunFolder
    from trainers.settings import help_text
    from trainers.settings.layers import flags_of

    wants_help = bool({"-h", "--help"} & set(argv))
    flags = flags_of([token for token in argv if token not in ("-h", "--help")])
    if not flags.get("run"):
        if wants_help:
            print(
                f"{__doc__}\n{help_text.table(ProbeRunOptions)}\n\n"
                "With --run, --help shows the flags of its task's probe."
            )
            return
        raise UserError("no run given; use --run with a run's folder, e.g. --run outputs/runs/distance-001")
    run = RunFolder(Path(os.path.expanduser(flags["run"][0])).resolve())
    task = run.task
    if not task.probe:
        raise UserError(f"the task {task.name} declares no probe in its TASK, so there is nothing to fit")
    probe_class: Any = task.load("probe")
    if wants_help:
        print(f"{__doc__}\n{help_text.table(ProbeRunOptions)}\n{help_text.table(probe_class.options)}")
        return
    from trainers.settings.resolve import read_command

    given, options = read_command(flags, ProbeRunOptions, probe_class.options)
    written, _ = probe_run(run, options, given.compare)
    print(f"written: {written}")


if __name__ == "__main__":
    sys.exit(main())
