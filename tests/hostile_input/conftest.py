"""A desk with everything that works."""

import shutil

import pytest

from tests.helpers import flags
from trainers import registry
from trainers.commands import dataset
from trainers.runs import session

from .desk_helpers import TASKS, Desk


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory, finished_run, store_uri):
    """A folder with a finished run in its prefix, and task -> dataset; built once, as building takes seconds."""
    folder = tmp_path_factory.mktemp("hostile")
    prefix = folder / "outputs"
    (prefix / "runs").mkdir(parents=True)
    shutil.copytree(finished_run, prefix / "runs" / "done")
    datasets = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        for task in TASKS:
            before = set((prefix / "datasets").glob("[!.]*"))
            of_the_run = {"n_cities": 40} if task == "location" else {}  # models are taken from the same world only
            assert dataset.main(["--task", task, *flags(registry.load(task).small | of_the_run)]) == 0
            (datasets[task],) = set((prefix / "datasets").glob("[!.]*")) - before
    return folder, datasets


@pytest.fixture(scope="module")
def desk(hostile_folder, store_uri):
    folder, datasets = hostile_folder
    prefix = folder / "outputs"

    def train(prepared):
        raise AssertionError("a dry run is never trained")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        patch.setattr(session, "train", train)
        patch.chdir(folder)
        yield Desk(folder, prefix, folder / "input", prefix / "runs" / "done", datasets, patch)
