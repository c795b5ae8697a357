"""The walk-through of CONTRIBUTING.md works: its files, written out as they stand there, are a task that trains."""

import importlib.util
import re
import shlex
import sys

import numpy as np
import pytest

from tests.helpers import ROOT
from trainers import registry
from trainers.folders import dataset_folder

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(bearing/\S+)`\n\n```\w+\n(.*?)^```", TEXT, re.M | re.S))


@pytest.fixture
def bearing(tmp_path, monkeypatch):
    """The walk-through's files in a package of their own, outside the repository."""
    for name, text in FILES.items():
        path = tmp_path / "my_lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_lab.bearing"
    for name in [name for name in sys.modules if name.startswith("my_lab")]:
        del sys.modules[name]


def contract():
    """The contract test as a module: it says itself what every task promises."""
    spec = importlib.util.spec_from_file_location("contract", ROOT / "tests" / "tasks" / "test_contract.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_commands_dry_run_and_train(bearing, prefix, capsys):
    from trainers.run import main

    lines = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
    commands = [shlex.split(line.partition("trainers/run.py")[2]) for line in lines if "--task bearing" in line]
    assert len(commands) == 4
    for argv in commands:
        argv[argv.index("--task") + 1] = bearing
        argv += ["--use_cpu", "--threads", "1", "--hidden_size", "16", "--num_hidden_layers", "1"]
        if "--max_steps" not in argv:
            argv += ["--dry_run"]
        assert main(argv if "--help" not in argv else argv[:3]) == 0, argv
    printed = capsys.readouterr().out
    assert "--n_train" in printed and re.search(r"bear|  e      -", printed)
    folder = prefix / "runs" / "bearing-001"
    assert (folder / "model.safetensors").is_file() and not (prefix / "runs" / "bearing-002").exists()
    assert "baseline_error_deg_mean" in (folder / "README.md").read_text()


def test_it_keeps_the_contract_of_every_task(bearing, tmp_path):
    promises = contract()
    task = registry.load(bearing)
    data = dataset_folder.build_or_load(task, task.options(**task.small), tmp_path / "first")
    trainers = {"trainer": 0, "text_trainer": 0}
    kept = []
    for name, promise in vars(promises).items():
        if not name.startswith("test_"):
            continue
        folder = tmp_path / name
        folder.mkdir()
        known = {"task": task, "data": data, "tmp_path": folder}
        known |= dict.fromkeys(trainers, promises.make_trainer(task, data, folder))
        wanted = promise.__code__.co_varnames[: promise.__code__.co_argcount]
        promise(**{argument: known[argument] for argument in wanted})
        kept.append(name)
    assert len(kept) >= 10


def test_its_bearings_are_right(bearing):
    import my_lab.bearing.data as data  # pyright: ignore[reportMissingImports]
    import my_lab.bearing.metric as metric  # pyright: ignore[reportMissingImports]
    from my_lab.bearing.trainer import parse_deg  # pyright: ignore[reportMissingImports]

    here, there = np.array([[0, 0], [0, 0], [0, 179.0], [10, 20]]).T, np.array([[10, 0], [0, 9], [0, -179], [5, 20]]).T
    assert data.bearing_deg(*here, *there) == pytest.approx([0, 90, 90, 180])
    # Berlin to Sydney; an independent value from the ellipsoid, which differs by less than half a degree.
    pyproj = pytest.importorskip("pyproj")
    expected = pyproj.Geod(ellps="WGS84").inv(13.405, 52.52, 151.21, -33.87)[0] % 360
    found = data.bearing_deg(*(np.array([value]) for value in (52.52, 13.405, -33.87, 151.21)))
    assert found == pytest.approx([expected], abs=0.5)
    assert metric.angles_between_deg(np.array([359, 0, np.nan]), np.array([1, 270, 5])).tolist() == [2, 90, 180]
    assert parse_deg("0") == 0 and np.isnan([parse_deg(text) for text in ("360", "007", "", "-1", "1,2")]).all()


def test_its_python_is_in_the_house_style(tmp_path, bearing):
    import subprocess

    folder = tmp_path / "my_lab"
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
