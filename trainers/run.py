"""Train one task: `accelerate launch trainers/run.py --task location`.

Parse, validate, then train. Heavy libraries are imported only after every name on the command line is known.
"""

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).resolve().parent):  # launched as a script, Python puts trainers/ first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trainers import environment
from trainers.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 2 something for the user to mend."""
    argv = sys.argv[1:] if argv is None else argv
    return exit_code_of(lambda: _run(argv))


def _run(argv: list[str]) -> None:
    environment.set_up()
    import tasks
    from trainers import arguments, usage

    if {"-h", "--help"} & set(argv):
        name = arguments.task_name_in(argv)
        print(usage.text(tasks.load(name) if name else None, tasks.names()))
        return
    request = arguments.read(argv, tasks.load)
    prefix = environment.resolved_prefix()

    from trainers import session

    settings = arguments.resolve(request)
    prepared = session.prepare(settings, prefix)
    if settings.run.dry_run:
        print(session.describe(prepared))
        return
    session.train(prepared)


if __name__ == "__main__":
    sys.exit(main())
