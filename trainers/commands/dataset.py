"""Build a task's dataset without training: `make dataset TASK=location`, or with flags

python -m trainers.commands.dataset --task location --n_train 4000 --n_val 500
"""

import sys

from trainers.common import environment
from trainers.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Build (or find) the dataset for one command line and say where it is; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return exit_code_of(lambda: _build(argv))


def _build(argv: list[str]) -> None:
    environment.set_up()
    from trainers import registry
    from trainers.settings import resolve

    if {"-h", "--help"} & set(argv):
        from trainers.settings import help_text

        name = resolve.task_name_in(argv)
        print(help_text.text(registry.load(name) if name else None, registry.names()))
        return
    request = resolve.read_request(argv, registry.load, task_only=True)
    prefix = environment.resolved_prefix()
    options = resolve.dataset_options(request)

    from trainers.folders import dataset_folder

    data = dataset_folder.build_or_load(request.task, options, prefix)
    print(f"{data.path}: " + ", ".join(f"{name} {len(split):,} rows" for name, split in data.splits.items()))


if __name__ == "__main__":
    sys.exit(main())
