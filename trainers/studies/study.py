"""Run a study: train its runs, then write the report named in its file."""

import contextlib
from pathlib import Path
from typing import Any, Protocol

from trainers.common import environment
from trainers.contract import Task
from trainers.errors import UserError, suggest
from trainers.folders.command_folder import hold_folder
from trainers.folders.output_dir import free_place
from trainers.studies.child_processes import ChildOptions
from trainers.studies.dry_run import DryChildren, DryRunEnded
from trainers.studies.parent import Children, parent_run
from trainers.studies.study_file import read_mapping, read_yaml, studies_of, study_path, task_of

_FORM = "`report` and `runs` (name: flags), each with a config"
_MARKER = "study.json"


class Report(Protocol):
    """A report of a study: a dataclass whose fields are flags of `world-models study`."""

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train what the study's file names and is not finished yet; write and track the report of finished runs."""


def report_options(study: str) -> type:
    """Return the report class that a study names, one of those of its runs' task.

    Raises:
        UserError: there is no such study, it is a sweep, or its task has no such report.
    """
    path = study_path(study)
    content = read_mapping(path, _FORM)
    if "grid" in content or "search" in content:
        raise UserError(f"{path} is a sweep; start it by `world-models sweep {path.stem}`")
    task = _task(path)
    name = str(content.get("report", ""))
    if name not in task.reports:
        known = ", ".join(task.reports) or "none"
        raise UserError(f"{path}: report is {name!r}; {task.name} has {known}.{suggest(name, task.reports)}")
    return task.load("reports", name)


def run_study(study: str, output_dir: str | None, options: ChildOptions, report: Any) -> None:
    """Train and report a study in its folder.

    Raises:
        UserError: not all of its runs could be trained to their end; those that could are reported.
    """
    path = study_path(study)
    with (
        hold_folder(_folder(path, output_dir), _MARKER, {"study": study}) as folder,
        parent_run(folder, _MARKER, _task(path).name) as tracker,
    ):
        tracker.tags({"study": path.stem})
        tracker.file(path, "config")
        children = Children(options, tracker)
        report.run(path, folder, children)
        children.check()


def describe_study(study: str, output_dir: str | None, options: ChildOptions, report: Any) -> None:
    """Print the runs of a study, or of those that it reports on, their flags, and how far each is; write nothing."""
    path = study_path(study)
    if parts := studies_of(path):
        for part in parts.values():
            describe_study(str(part), None, options, report_options(str(part))())
        return
    folder = free_place(environment.resolved_prefix(), _folder(path, output_dir))
    children = DryChildren(options, read_yaml(path, _FORM)["runs"])
    print(f"the runs of {path} in {folder}:")
    with contextlib.suppress(DryRunEnded):
        report.run(path, folder, children)
    children.print_later()


def _folder(path: Path, output_dir: str | None) -> Path:
    return Path(output_dir or environment.resolved_prefix() / "studies" / path.stem)


def _task(path: Path) -> Task:
    """Return the task of the first run, of a study of studies that of their first; the flags of all are checked."""
    path = next(iter(studies_of(path).values()), path)
    task, *_ = [task_of(path, flags) for flags in read_yaml(path, _FORM)["runs"].values()]
    return task
