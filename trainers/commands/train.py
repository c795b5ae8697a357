"""Train one task in this process; `accelerate launch trainers/run.py` does the same in one or several."""

from collections.abc import Sequence

from trainers.settings.command import entry_point
from trainers.settings.help_text import train_help


@entry_point(train_help)
def main(argv: Sequence[str]) -> None:
    """Parse, validate, then train (or with `--dry_run` only describe) one run."""
    from trainers import registry
    from trainers.common import environment
    from trainers.settings.request import read_request
    from trainers.settings.resolve import resolve_settings

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
