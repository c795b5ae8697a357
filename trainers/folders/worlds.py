"""Compare the worlds of a model and of a dataset: the same name must mean the same thing in both."""

import os
from pathlib import Path

from accelerate import PartialState

from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders.dataset_folder import read_metadata
from trainers.folders.run_folder import RunFolder


def check_world(flag: str, model: str | Path, data: StoredDataset) -> None:
    """Refuse a model that was trained on another world than that of `data`; one may be a part of the other.

    A dataset has the digests of its worlds among its facts as `worlds`: those that lie in its own, which is the last.

    Raises:
        UserError: neither world lies in the other.
    """
    own, run = data.metadata.get("worlds"), RunFolder.of_model(Path(os.path.expanduser(model)))
    if own is None or run is None or not run.has_started:
        return
    try:
        their = read_metadata(run.dataset, run.task.name).get("worlds")
    except UserError:
        their = None
    if their is None and PartialState().is_main_process:
        print(f"note: the dataset of {flag} {model} is gone or old: it is not known to be of this world", flush=True)
    if their and their[-1] not in own and own[-1] not in their:
        raise UserError(
            f"{flag} {model} was trained on another world ({run.dataset}) than that of {data.path}, so the same name"
            " means different things; give both the same options of the world"
        )
