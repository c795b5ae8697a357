"""Train one task in this process; `accelerate launch trainers/run.py` does the same in one or several."""

from collections.abc import Sequence

from trainers.settings.command import entry_point
from trainers.settings.help_text import options_text, train_help
from trainers.settings.layers import flags_of


def _help(argv: Sequence[str]) -> str:
    from trainers.studies.child_processes import ChildOptions

    several = "\nSeveral seeds, each a run in a process of its own, below one MLflow run, with a table of means:"
    return "\n".join([train_help(argv), several, options_text(ChildOptions)])


@entry_point(_help)
def main(argv: Sequence[str]) -> None:
    """Parse, validate, then train (or with `--dry_run` only describe) one run, or with `--seeds` several."""
    from trainers import registry
    from trainers.common import environment
    from trainers.common.processes import end_with_parent
    from trainers.settings.request import read_request
    from trainers.settings.resolve import resolve_settings
    from trainers.studies.seed_runs import OPTIONS, train_seeds

    end_with_parent()
    flags = flags_of(argv)
    if flags.keys() & set(OPTIONS):
        train_seeds(flags)
        return
    request = read_request(argv, registry.load)
    prefix = environment.resolved_prefix()

    from trainers.base import check_parts  # heavy, like the next: imported when every name on the command line is known
    from trainers.runs import session

    check_parts(request.task)
    settings = resolve_settings(request)
    prepared = session.prepare(settings, prefix)
    if settings.run.dry_run:
        print(session.describe(prepared))
        return
    session.train(prepared)
