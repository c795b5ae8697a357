"""A wheel, installed elsewhere, is complete; what it makes lies in the folder in which a command is typed."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT, assert_named, contents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the wheel into a folder; gives that, and the function that runs Python there from an empty folder."""
    base = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "outputs", "mlruns", "mlflow.db*", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, base / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(base), str(base / "source")]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = base.glob("*.whl")
    site, empty = base / "site", base / "empty"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    shutil.rmtree(base / "source")
    empty.mkdir()
    variables = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("EXP_DIR_PREFIX", "MLFLOW_TRACKING_URI"):
        variables.pop(name, None)

    def run(*argv):
        command = [sys.executable, *argv]
        done = subprocess.run(command, capture_output=True, text=True, cwd=empty, env=variables, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return site, empty, run


def test_the_tasks_their_cards_and_the_configs_are_in_it(installed):
    site, _, run = installed
    for pattern in ("tasks/**/card.md", "configs/**/*.yaml", "configs/**/*.sbatch"):
        expected = {path.relative_to(ROOT) for path in ROOT.glob(pattern)}
        assert expected and expected == {path.relative_to(site) for path in site.glob(pattern)}
    assert_named(run("-m", "trainers", "tasks"), "location", "arc", "darkroom")
    assert_named(run("-m", "trainers", "study", "--help"), "arc_small")
    assert_named(run("-m", "trainers", "sweep", "--help"), "location_sweep")
    assert "configs/location.yaml" in run("-m", "trainers", "train", "--task", "location", "--help")


def test_a_run_of_it_writes_below_the_working_directory_and_nowhere_else(installed, tiny):
    site, empty, run = installed
    before = contents(site)
    shown = run("-m", "trainers", "train", *tiny, "--dry_run")
    assert_named(shown, empty / "outputs" / "runs" / "location", "configs/location.yaml")
    run("-m", "trainers.run", *tiny)
    assert (empty / "outputs" / "runs" / "location-001" / "results.json").is_file()
    assert {path.name for path in empty.iterdir()} == {"outputs", "mlflow.db", "mlruns"}
    assert contents(site) == before
