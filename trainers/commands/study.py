"""Train the runs of a study and report them, as its file asks for.

    world-models study arc_small
    world-models study forgetting --base outputs/runs/distance-001
    world-models study arc_small --seeds 3 --parallel 2
    world-models study arc_small --dry_run

A study is a YAML file below configs/studies/: its report, and by name the flags of every run for trainers/run.py. Each
run is a tracked run of its own, in the study's folder, below one MLflow run; what is finished there already is used
again. A file with `studies` in the place of `runs` reports on these and trains nothing. With a study, --help shows the
flags of its report.
"""

from dataclasses import dataclass
from typing import Any

from trainers.options import option
from trainers.settings.command import command
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study import report_options
from trainers.studies.study_file import study_names


@dataclass
class StudyOptions:
    """Which study, and where."""

    study: str = option("", f"a YAML file, or its name below configs/studies/: {', '.join(study_names())}")
    output_dir: str | None = option(None, "folder of the study; default: <EXP_DIR_PREFIX>/studies/<study>")
    dry_run: bool = option(False, "print the runs, their flags, and how far each is; train nothing")


@command(
    StudyOptions, ChildOptions, positional="study", extra=lambda flags: report_options(" ".join(flags.get("study", [])))
)
def main(options: StudyOptions, children: ChildOptions, report: Any) -> None:
    """Run one study, or print its runs."""
    from trainers.studies.study import describe_study, run_study

    start = describe_study if options.dry_run else run_study
    start(options.study, options.output_dir, children, report)
