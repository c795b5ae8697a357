"""Push a finished run to Hugging Face's hub: model, tokenizer, card, results and figures, without checkpoints.

    world-models push outputs/runs/location-001 me/location --dry_run
    world-models push outputs/runs/location-001 me/location

Everything goes in one commit. A new repository is private unless --public is given. Log in first with `hf auth login`,
or set HF_TOKEN.
"""

from dataclasses import dataclass

from trainers.folders.run_folder import named_run
from trainers.options import option
from trainers.settings.command import command


@dataclass
class PushOptions:
    """What goes where."""

    run: str = option("", "folder of a finished run")
    repo: str = option("", "repository on the hub, as in me/location")
    dry_run: bool = option(False, "list what would go, then stop; nothing is sent")
    public: bool = option(False, "let everybody read a repository that is made now")
    license: str | None = option(None, "licence by the hub's name, e.g. mit; default: the one of the dataset's sources")


@command(PushOptions, positional="run repo")
def main(options: PushOptions) -> None:
    """Push one run."""
    from trainers.runs.publishing import push

    push(named_run(options.run), options.repo, options.license, options.public, options.dry_run)
