"""Probe every checkpoint of a run: what can be read from its hidden states, as table, curves, map and animation.

    world-models probe outputs/runs/distance-001 --protocol original

Everything goes to `<run>/probe/<label>/` and into the run's MLflow record. Linear CKA to the run's own last checkpoint
is measured too, or with --compare to another model (a run's folder or one of its checkpoints). With a run, --help
shows the flags of its task's probe.
"""

from dataclasses import dataclass
from typing import Any

from trainers.options import option
from trainers.probes.checkpoints import probe_options
from trainers.settings.command import command


@dataclass
class ProbeRunOptions:
    """Which run is probed."""

    run: str = option("", "folder of a run")
    compare: str | None = option(None, "another model, to which every checkpoint's linear CKA is measured")


@command(ProbeRunOptions, positional="run", extra=lambda flags: probe_options(" ".join(flags.get("run", []))))
def main(options: ProbeRunOptions, probe: Any) -> None:
    """Probe one run."""
    from trainers.folders.run_folder import named_run
    from trainers.probes.checkpoints import probe_run

    written, _ = probe_run(named_run(options.run), probe, options.compare)
    print(f"written: {written}")
