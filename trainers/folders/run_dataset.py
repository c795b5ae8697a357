"""The dataset of a run: load it, read its options, take another one instead, say how a lost one is built again."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.common import environment
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.folders import dataset_folder
from trainers.folders.run_folder import RunFolder


def own_metadata(run: RunFolder) -> Mapping[str, Any]:
    """Return the `metadata.json` of a run's dataset; raise a `UserError` with what helps if it is gone."""
    return dataset_folder.read_metadata(run.dataset, run.task.name, again=how_to_restore(run))


def own_dataset(run: RunFolder) -> StoredDataset:
    """Load the dataset of a run; raise a `UserError` with what helps if it is gone or damaged."""
    return dataset_folder.load(run.dataset, run.task.name, again=how_to_restore(run))


def dataset_options(run: RunFolder) -> type:
    """Return the options class of a run's task, with the values of the run's dataset as defaults.

    Raises:
        UserError: the run has not started, or its dataset is gone.
    """
    options, own = run.task.options, own_metadata(run)["options"]
    fields = [
        (item.name, item.type, dataclasses.field(default=own.get(item.name, item.default), metadata=item.metadata))
        for item in dataclasses.fields(options)
    ]
    return dataclasses.make_dataclass(options.__name__, fields, bases=(options,))


def dataset_of(run: RunFolder, folder: str | None, options: Any) -> StoredDataset:
    """Return the dataset in a folder, or the one for these options: the run's own, or another that is built.

    Raises:
        UserError: both are given, or it cannot be loaded or built.
    """
    changed = [name for name, value in vars(options).items() if value != getattr(type(options)(), name)]
    if folder and changed:
        raise UserError(
            f"--dataset {folder} is taken as it is, so --{', --'.join(changed)} would do nothing; leave it out"
        )
    if folder:
        return dataset_folder.load(Path(os.path.expanduser(folder)), run.task.name)
    if not changed:
        return own_dataset(run)
    return dataset_folder.build_or_load(run.task, run.task.options(**vars(options)), environment.resolved_prefix())


def how_to_restore(run: RunFolder) -> str:
    """Return what to do if the dataset of a run is lost; of a folder that the user gave no options are known."""
    resolved = run.settings.get("resolved")
    if not isinstance(resolved, dict) or resolved.get("dataset"):
        return "restore the folder"
    names = [item.name for item in dataclasses.fields(run.task.options)]
    command = dataset_folder.build_command(run.task.name, {name: resolved.get(name) for name in names})
    return f"build it again: `{command}`"
