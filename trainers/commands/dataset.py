"""Build a task's dataset without training."""

from collections.abc import Sequence

from trainers.settings.command import entry_point
from trainers.settings.help_text import dataset_help


@entry_point(dataset_help)
def main(argv: Sequence[str]) -> None:
    """Build (or find) the dataset that a command line asks for, and say where it is."""
    from trainers import registry
    from trainers.common import environment
    from trainers.settings.request import read_request
    from trainers.settings.resolve import dataset_options

    request = read_request(argv, registry.load, task_only=True)
    prefix = environment.resolved_prefix()
    options, run = dataset_options(request)

    from trainers.folders import dataset_folder

    data = dataset_folder.build_or_load(request.task, options, prefix, run.rebuild, run.num_proc)
    print(f"{data.path}: " + ", ".join(f"{name} {len(split):,} rows" for name, split in data.splits.items()))
