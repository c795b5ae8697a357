"""Every shipped config says how to run it and what to expect, parses, and prepares a run."""

import json

import pytest
import yaml

from tests.helpers import ROOT, fewer_rows, flags
from trainers import registry
from trainers.run import main

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

FEW = {"n_train": 50_000, "n_rules": 20}
"""Numbers of rows that take long to build."""


@pytest.mark.usefixtures("datasets_once")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_dry_runs(path, prefix, capsys):
    config = yaml.safe_load(path.read_text())
    task = [] if "task" in config else ["--task", "angle,perimeter"]  # one that is for any question
    fewer = [*task, *fewer_rows(registry.load(config.get("task") or task[1]))]
    fewer += flags({name: few for name, few in FEW.items() if config.get(name, 0) > few})
    assert main(["--config", path.stem, "--dry_run", "--use_cpu", "--threads", "1", *fewer]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    for name, value in config.items():
        if f"--{name}" in fewer:
            continue
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        assert [name, *text.split(), f"configs/{path.name}"] in shown
    assert not (prefix / "runs").exists()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_command_hardware_time_and_result(path):
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"accelerate launch trainers/run.py --config {path.stem}" in header or "make train" in header
    for word in ("Hardware:", "Time:", "Result:"):
        assert word in header
