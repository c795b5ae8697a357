"""A desk for every case of bad input."""

import pytest

from trainers.commands import dataset

from .desk_helpers import Desk


@pytest.fixture(scope="session")
def good_dataset(shared_prefix):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(shared_prefix))
        assert dataset.main(["--task", "location", "--n_cities", "40"]) == 0
    return next((shared_prefix / "datasets").glob("location-*"))


@pytest.fixture
def desk(tmp_path, prefix, tiny, good_dataset, finished_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, prefix, tiny, good_dataset, finished_run, monkeypatch)
