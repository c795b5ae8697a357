"""Look into a trained model: what can be read from its hidden states, or one other view of it.

    world-models probe outputs/runs/distance-001 --protocol original
    world-models probe outputs/runs/distance-001 --VIEW

Without a view, the task's probe is fitted to every checkpoint: table, curves, map and animation. Linear CKA to the
run's own last checkpoint is measured too, or with --compare to another model (a run's folder or one of its
checkpoints). A view looks at one checkpoint, that of the run's best step or --checkpoint. Everything goes to
`<run>/probe/<label or view>/` and into the run's MLflow record. With a run, --help shows the task's views and the
flags of its probe; with a view too, those of the view.
"""

from dataclasses import dataclass
from typing import Any

from trainers.contract import Task
from trainers.errors import UserError
from trainers.folders.run_folder import named_run
from trainers.options import option
from trainers.probes.checkpoints import probe_options
from trainers.settings.command import command
from trainers.settings.layers import Layer, is_true


@dataclass
class ProbeRunOptions:
    """Which run is looked at."""

    run: str = option("", "folder of a run")
    compare: str | None = option(
        None, "another model, to which every checkpoint's linear CKA is measured; not with a view"
    )
    checkpoint: str | None = option(None, "weights that a view looks at: best (the default), last or a step's")


def _own_options(flags: Layer) -> type:
    """Return the options of the view that is asked for, else of the probe, with a flag for each of the task's views."""
    from trainers.probes.views import with_view_flags

    run = " ".join(flags.get("run", []))
    task = named_run(run).task
    asked = [name for name in task.views if name in flags and is_true(flags[name])]
    if len(asked) > 1:
        raise UserError(f"--{' and --'.join(asked)} are both given; look at one view at a time")
    return with_view_flags(task, task.load("views", asked[0]).options if asked else probe_options(run))


@command(ProbeRunOptions, positional="run", extra=_own_options)
def main(options: ProbeRunOptions, own: Any) -> None:
    """Probe one run, or look at one view of it."""
    from trainers.probes.checkpoints import probe_run
    from trainers.probes.views import run_view, without_view_flags

    run = named_run(options.run)
    asked = [name for name in run.task.views if getattr(own, name)]
    _check_flags(options, run.task, asked)
    if asked:
        (view,) = asked
        chosen = without_view_flags(run.task.load("views", view).options, own)
        written, _ = run_view(run, view, chosen, options.checkpoint or "best")
    else:
        written, _ = probe_run(run, without_view_flags(probe_options(options.run), own), options.compare)
    print(f"written: {written}")


def _check_flags(options: ProbeRunOptions, task: Task, asked: list[str]) -> None:
    """Raise a `UserError` for a flag that would do nothing."""
    if asked and options.compare:
        raise UserError(f"--compare belongs to the probe, and --{asked[0]} compares with no model; leave one out")
    if not asked and options.checkpoint:
        views = ", ".join(f"--{name}" for name in task.views) or f"{task.name} has none"
        raise UserError(
            f"--checkpoint {options.checkpoint} belongs to a view ({views}), and the probe is fitted to every"
            " checkpoint; leave it out, or name a view"
        )
    if options.checkpoint == "all":
        raise UserError("--checkpoint all: a view looks at one checkpoint; give best, last or a step's")
