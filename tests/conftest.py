"""Every test writes below its own temporary folder and tracks into a store of the test session."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from trainers.common import environment

# Before anything heavy is imported: no downloads, no telemetry, one thread for each of pytest's processes.
environment.set_up()
os.environ["OMP_NUM_THREADS"] = "1"

import pytest  # noqa: E402

TINY = [
    "--task",
    "location",
    "--n_cities",
    "40",
    "--hidden_size",
    "16",
    "--num_hidden_layers",
    "1",
    "--intermediate_size",
    "16",
    "--num_attention_heads",
    "2",
    "--per_device_train_batch_size",
    "8",
    "--max_steps",
    "4",
    "--eval_steps",
    "2",
    "--logging_steps",
    "1",
    "--threads",
    "1",
    "--use_cpu",
    "--per_device_eval_batch_size",
    "64",
    "--precision",
    "float32",  # runs of their own processes, too, compute alike on every machine
]
"""A run of seconds."""


def pytest_collection_finish() -> None:
    """Leave what has been imported out of garbage collections: every run asks for one."""
    gc.freeze()


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Leave figures out: they take most of a tiny run's time."""
    patch.setattr("trainers.common.figures.save_figure", lambda figure, path: path.write_bytes(b""))
    patch.setattr("trainers.callbacks.figures.summary_figure", lambda *args: None)


@pytest.fixture(scope="session", autouse=True)
def without_bfloat16_units() -> Iterator[None]:
    """What tests compare to the last digit is computed alike on every machine; a test of bfloat16 asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainers.settings.precision.has_bfloat16_units", lambda on_cpu: False)
        yield


@pytest.fixture
def tiny() -> list[str]:
    """The command line of a run of seconds."""
    return list(TINY)


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for the session: creating one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def shared_prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix for tests that only need some dataset or some run."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def prefix(tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh EXP_DIR_PREFIX."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    monkeypatch.setenv("EXP_DIR_PREFIX", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    draw_nothing(monkeypatch)  # `finished_run` and the contract test look at real pictures
    return folder


@pytest.fixture
def datasets_once(prefix: Path, shared_prefix: Path) -> None:
    """A fresh prefix whose datasets are shared by the session: for tests that only look at what would be run."""
    (shared_prefix / "built").mkdir(exist_ok=True)
    (prefix / "datasets").symlink_to(shared_prefix / "built")


@pytest.fixture(scope="session")
def finished_run(shared_prefix: Path, store_uri: str) -> Path:
    """The folder of one finished tiny run, to be read only."""
    from trainers.run import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(shared_prefix))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        patch.setattr(sys, "argv", ["trainers/run.py", *TINY])
        patch.setattr("trainers.runs.session.git_diff", lambda: " M a.py\n")  # as if the tree were dirty
        assert main(TINY) == 0
    return shared_prefix / "runs" / "location-001"
