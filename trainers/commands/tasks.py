"""List the tasks: name, family, and what each is about.

    world-models tasks

`world-models train --task NAME --help` shows a task's flags.
"""

from trainers.settings.command import command


@command()
def main() -> None:
    """Print one line for each task."""
    from trainers import registry
    from trainers.common.tables import format_table

    tasks = map(registry.load, registry.names())
    print(format_table([{"task": t.name, "family": t.package.split(".")[1], "summary": t.summary} for t in tasks]))
