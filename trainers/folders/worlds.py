"""Compare the worlds of a model and of a dataset: the same name must mean the same thing in both."""

import os
from pathlib import Path

from accelerate import PartialState

from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders.dataset_folder import read_metadata
from trainers.folders.run_folder import RunFolder


def check_world(flag: str, model: str | Path, data: StoredDataset) -> None:
    """Raise a `UserError` if a model was trained on another world than that of `data` (see `say_other_world`)."""
    if problem := say_other_world(f"{flag} {model}", model, data):
        raise UserError(f"{problem}; give both the same options of the world")


def say_other_world(name: str, model: str | Path, data: StoredDataset) -> str:
    """Return in words that a model was trained on another world than that of `data`; empty if one lies in the other.

    A dataset has the digests of its worlds among its facts as `worlds`: those that lie in its own, which is the last.

    Args:
        name: What the model is called.
    """
    own, run = data.metadata.get("worlds"), RunFolder.of_model(Path(os.path.expanduser(model)))
    if own is None or run is None or not run.has_started:
        return ""
    try:
        their = read_metadata(run.dataset, run.task.name).get("worlds")
    except UserError:
        their = None
    if their is None and PartialState().is_main_process:
        print(f"note: the dataset of {name} is gone or old: it is not known to be of this world", flush=True)
    if their is None or their[-1] in own or own[-1] in their:
        return ""
    return (
        f"{name} was trained on another world ({run.dataset}) than that of {data.path}, so the same name means"
        " different things"
    )
