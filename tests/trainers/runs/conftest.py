"""Finished tiny runs of all families."""

import shutil

import pytest

from tests.conftest import TINY, draw_nothing
from tests.helpers import flags
from trainers import registry
from trainers.run import main as train

SIZES = TINY[TINY.index("--hidden_size") :]


@pytest.fixture(scope="session")
def trained(shared_prefix, store_uri, finished_run):
    """Task -> a finished tiny run that may be evaluated and asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(shared_prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        draw_nothing(patch)
        made = {"location": shutil.copytree(finished_run, shared_prefix / "runs" / "evaluated-location")}
        for name in ("random_walk", "arc", "darkroom"):
            folder = shared_prefix / "runs" / f"evaluated-{name}"
            argv = ["--task", name, *flags(registry.load(name).small), *SIZES, "--output_dir", str(folder)]
            assert train([*argv, "--max_steps", "2"]) == 0
            made[name] = folder
    return made


@pytest.fixture(scope="module")
def runs(trained, shared_prefix, store_uri):
    """The same, where new evaluations and datasets go beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(shared_prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        draw_nothing(patch)
        yield trained
