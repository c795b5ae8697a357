"""Print the runs of a study, their flags, and how far each is, in the place of training them: `study --dry_run`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.common.seeds import seeds_of
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.studies.child_processes import ChildOptions
from trainers.studies.child_runs import command_of
from trainers.studies.parent import Children
from trainers.studies.study_file import tokens_of


class DryRunEnded(Exception):
    """Leaves a study's report when all runs that can be known are printed."""


class DryChildren(Children):
    """Prints runs where `Children` trains them.

    Args:
        options: As of `Children`.
        runs: By name, the flags of the runs in the study's file.
    """

    def __init__(self, options: ChildOptions, runs: Mapping[str, Mapping[str, Any]]) -> None:
        self.options = options
        self.seeds = seeds_of(options.seeds) if options.seeds else None
        self.states: dict[str, str] = {}
        self._later = dict(runs)

    def train(self, jobs: Mapping[Path, Mapping[str, Any]]) -> list[RunFolder]:
        """Print runs; return them if they are finished and others start from them.

        Raises:
            DryRunEnded: they are the last, or the later ones need what these have not made yet.
        """
        self.states |= {folder.name: how_far(folder, flags) for folder, flags in jobs.items()}
        for folder, flags in jobs.items():
            _print_run(folder.name, self.states[folder.name], flags)
            for name in (folder.name, folder.name.removesuffix(f"-{flags.get('seed')}")):
                self._later.pop(name, None)
        if not self._later or any(self.states[folder.name] != "finished" for folder in jobs):
            raise DryRunEnded
        return [RunFolder(folder) for folder in jobs]

    def print_later(self) -> None:
        """Print the runs of the file that need others first."""
        for name, flags in self._later.items():
            _print_run(name, f"after {', '.join(self.states)}", flags)


def how_far(folder: Path, flags: Mapping[str, Any]) -> str:
    """Return what a study would do with a run: nothing, go on with it, or train it."""
    run = RunFolder(folder)
    if run.is_held():
        return "another process is writing it"
    try:
        if run.has_marker and not command_of(folder, flags):
            return "finished"
    except UserError as error:
        return f"refused: {error}"
    if not run.has_marker:
        return "not started"
    return f"goes on from {run.last_checkpoint.name}" if run.last_checkpoint else "starts again: it has no checkpoint"


def _print_run(name: str, state: str, flags: Mapping[str, Any]) -> None:
    print(f"{name}: {state}\n    {shlex.join(tokens_of(flags))}", flush=True)
