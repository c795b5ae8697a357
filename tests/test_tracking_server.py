"""A remote tracking server: MLflow's own on loopback, with PostgreSQL behind it and a folder for artifacts."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from trainers.run import main

BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def postgresql(tmp_path):
    """The URI of an empty database that lives as long as the test."""
    if BINARIES is None:
        pytest.skip("PostgreSQL is not installed")
    folder, port = Path("/tmp") / f"pg-{os.getpid()}", free_port()
    folder.mkdir()
    as_user = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres to run PostgreSQL as")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    control = [*as_user, str(BINARIES / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    initdb = [*as_user, str(BINARIES / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "world"]
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    quietly = {"check": True, "cwd": "/", "stdout": subprocess.DEVNULL}
    subprocess.run(initdb, **quietly)
    subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **quietly)
    yield f"postgresql://world@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **quietly)
    shutil.rmtree(folder)


@pytest.fixture
def server(postgresql, tmp_path):
    """The address of a running `mlflow server`."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", postgresql, "--port", str(port)]
    command += ["--artifacts-destination", str(tmp_path / "artifacts"), "--host", "127.0.0.1", "--workers", "1"]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    deadline_s = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline_s, (tmp_path / "server.log").read_text()[
                -2000:
            ]
            time.sleep(0.5)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait()


@pytest.mark.slow
def test_runs_are_written_to_a_server_and_read_back(server, prefix, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    whole, folder = [*tiny, "--output_dir", str(prefix / "run")], prefix / "run"
    assert main([*whole, "--max_steps", "2"]) == 0
    assert main([*whole, "--resume_from_checkpoint", "last"]) == 0
    assert main([*tiny, "--init_from", str(folder), "--output_dir", str(prefix / "fine")]) == 0

    import mlflow

    client = mlflow.MlflowClient(server)
    runs = client.search_runs([client.get_experiment_by_name("location").experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {"run": "FINISHED", "fine": "FINISHED"}
    first = next(run for run in runs if run.info.run_name == "run")
    assert first.info.run_id == json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    assert first.data.params["learning_rate"] and first.data.tags["drift.max_steps"] == "4"
    assert next(r for r in runs if r.info.run_name == "fine").data.tags["parent_run_id"] == first.info.run_id
    history = client.get_metric_history(first.info.run_id, "memorisation/haversine_km_mean")
    assert [point.step for point in history] == [0, 2, 4]
    files = {file.path for file in client.list_artifacts(first.info.run_id)}
    assert {"config", "samples", "figures", "results.json", "README.md"} <= files
    settings = client.download_artifacts(first.info.run_id, "config/settings.json", str(tmp_path))
    assert json.loads(Path(settings).read_text())["dataset"]["n_cities"] == 40
    assert list((tmp_path / "artifacts").rglob("MLmodel"))  # behind the server, not beside the runs


def test_the_page_is_for_this_machine_only_unless_asked():
    """`mlflow ui` binds to loopback by default; nothing here changes it."""
    makefile = (Path(__file__).resolve().parent.parent / "Makefile").read_text()
    assert "--host" not in makefile and "0.0.0.0" not in makefile
    help_text = subprocess.run([sys.executable, "-m", "mlflow", "ui", "--help"], capture_output=True, text=True).stdout
    assert "127.0.0.1" in help_text
