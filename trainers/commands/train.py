"""Train one task."""

from trainers.common import environment


def run(argv: list[str]) -> None:
    """Parse, validate, then train (or with `--dry_run` only describe) one run."""
    environment.set_up()
    from trainers import registry
    from trainers.settings import help_text, resolve

    if {"-h", "--help"} & set(argv):
        name = resolve.task_name_in(argv)
        print(help_text.text(registry.load(name) if name else None, registry.names()))
        return
    request = resolve.read_request(argv, registry.load)
    prefix = environment.resolved_prefix()

    from trainers.runs import session

    settings = resolve.resolve_settings(request)
    prepared = session.prepare(settings, prefix)
    if settings.run.dry_run:
        print(session.describe(prepared))
        return
    session.train(prepared)
