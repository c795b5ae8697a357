"""Sweeps that train nothing."""

import pytest

from trainers.commands import sweep
from trainers.studies import child_runs


@pytest.fixture
def swept(prefix, tmp_path, monkeypatch):
    """Run a sweep with some launcher."""

    def run(text, launcher, *argv, code=0):
        monkeypatch.setattr(child_runs, "subprocess", launcher)
        path = tmp_path / "mine.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        assert sweep.main(["--study", str(path), *argv]) == code
        return prefix / "sweeps" / "mine"

    return run
