"""Publish what a run has made on Hugging Face's hub, in one commit."""

from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from trainers.errors import UserError
from trainers.folders.run_folder import MODEL_FILES, RunFolder

_CARD = "README.md"


def push(run: RunFolder, repo: str, licence: str | None, public: bool, dry_run: bool) -> None:
    """Send a finished run's files, or only list them.

    Raises:
        UserError: the run is not finished, its licence is not known, or the hub takes it not.
    """
    _ = run.results  # only a finished run has a model
    _check_name(repo)
    _check_model(run)
    files = published_files(run)
    card = _card_of(run, licence)
    for path in files:
        print(f"  {path.stat().st_size:>12,} bytes  {path.name}")
    print(f"{len(files)} files for {repo}, licence {card.data.license}", flush=True)
    if dry_run:
        print("nothing was sent (--dry_run)", flush=True)
        return
    print(f"pushed: {_send(run, repo, files, card, public)}", flush=True)


def published_files(run: RunFolder) -> list[Path]:
    """Return what another researcher needs: model, tokenizer, card, results and figures, no checkpoints."""
    found = {path for pattern in (*MODEL_FILES, _CARD, "results.json") for path in run.path.glob(pattern)}
    return sorted({*found, *run.figures})


def _check_model(run: RunFolder) -> None:
    """Raise a `UserError` unless the run's model can be read, and its tokenizer is there if it had one."""
    try:
        with safe_open(run.path / "model.safetensors", "pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise UserError(f"the model of {run.path} is damaged ({error}); restore model.safetensors") from error
    if run.task.tokenizer and not (run.path / "tokenizer.json").is_file():
        raise UserError(f"{run.path} has lost its tokenizer.json; restore it")


def _check_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except ValueError as error:
        raise UserError(f"--repo {repo!r} is no repository's name; give one as in me/location") from error


def _card_of(run: RunFolder, licence: str | None) -> Any:
    """Return the run's card, with the licence that is given or its own."""
    try:
        card: Any = ModelCard.load(run.path / _CARD)
    except (OSError, ValueError) as error:
        raise UserError(f"{run.path} has no readable {_CARD}, the model's card; give another run") from error
    card.data.license = licence or card.data.license
    if not card.data.license:
        raise UserError(
            f"the card of {run.path} names no licence, since its data came from files of yours or it is an older run;"
            " give one with --license, as in --license cc-by-4.0, or other"
        )
    return card


def _send(run: RunFolder, repo: str, files: list[Path], card: Any, public: bool) -> str:
    """Make the repository if it is new, and add all files in one commit; return the commit's address."""
    huggingface_hub.constants.HF_HUB_OFFLINE = False  # every other command works without the network
    contents = {path.name: str(path) for path in files} | {_CARD: str(card).encode()}
    added = [CommitOperationAdd(name, content) for name, content in contents.items()]
    api = HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        return api.create_commit(repo, added, commit_message=f"{run.path.name} of the task {run.task.name}").commit_url
    except Exception as error:  # the hub's client raises many kinds
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"--repo {repo} was not pushed to ({type(error).__name__}: {reason}); check its name and the network, and"
            " log in with `hf auth login` or HF_TOKEN"
        ) from error
