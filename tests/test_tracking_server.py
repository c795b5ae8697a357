"""Servers instead of files: MLflow's own on loopback, with PostgreSQL behind it and a folder for artifacts; a study of
Optuna in PostgreSQL."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.helpers import ROOT, assert_named
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


class Server:
    """An `mlflow server` that can be stopped and started again at the same address."""

    def __init__(self, database, folder):
        port = free_port()
        self.uri, self.log = f"http://127.0.0.1:{port}", folder / "server.log"
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
        self.command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--workers", "1"]
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        deadline_s = time.monotonic() + 180
        while True:
            try:
                return urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline_s, self.log.read_text()[-2000:]
                time.sleep(0.5)

    def stop(self, number=signal.SIGTERM):
        os.killpg(self.process.pid, number)
        self.process.wait()


@pytest.fixture
def server(postgresql, tmp_path):
    """A running `mlflow server`."""
    running = Server(postgresql, tmp_path)
    yield running
    running.stop()


@pytest.mark.slow
def test_runs_are_written_to_a_server_and_read_back(server, prefix, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    whole, folder = [*tiny, "--output_dir", str(prefix / "run")], prefix / "run"
    assert main([*whole, "--max_steps", "2"]) == 0
    assert main([*whole, "--resume_from_checkpoint", "last"]) == 0
    assert main([*tiny, "--init_from", str(folder), "--output_dir", str(prefix / "fine")]) == 0

    import mlflow

    client = mlflow.MlflowClient(server.uri)
    runs = client.search_runs([client.get_experiment_by_name("location").experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {"run": "FINISHED", "fine": "FINISHED"}
    first = next(run for run in runs if run.info.run_name == "run")
    assert first.info.run_id == json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    assert first.data.params["learning_rate"] and first.data.tags["drift.max_steps"] == "4"
    assert next(r for r in runs if r.info.run_name == "fine").data.tags["parent_run_id"] == first.info.run_id
    history = client.get_metric_history(first.info.run_id, "memorisation/haversine_km_mean")
    assert [point.step for point in history] == [0, 2, 4]
    files = {file.path for file in client.list_artifacts(first.info.run_id)}
    assert {"config", "examples.json", "figures", "results.json", "README.md"} <= files
    settings = client.download_artifacts(first.info.run_id, "config/settings.json", str(tmp_path))
    assert json.loads(Path(settings).read_text())["given"]["n_cities"]["value"] == ["40"]
    assert list((tmp_path / "artifacts").rglob("MLmodel"))  # behind the server, not beside the runs


@pytest.mark.slow
def test_a_server_that_dies_in_a_run_costs_nothing(server, prefix, tiny, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    folder = prefix / "run"
    argv = [
        sys.executable,
        str(ROOT / "trainers" / "run.py"),
        *tiny,
        "--output_dir",
        str(folder),
        "--max_steps",
        "2000",
    ]
    argv += ["--eval_steps", "20"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 120
    while not (folder / "checkpoint-20" / "trainer_state.json").is_file():
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.01)
    server.stop(signal.SIGKILL)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 2 and "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("error: ")] == said.splitlines()[-1:]
    assert_named(said, "--resume_from_checkpoint", "last")

    server.start()
    last = max(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
    assert main([*argv[2:], "--max_steps", str(last + 40), "--resume_from_checkpoint", "last"]) == 0

    import mlflow

    client = mlflow.MlflowClient(server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("location").experiment_id])
    assert run.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == sorted(set(steps)) and steps[-1] == last + 40


@pytest.mark.slow
def test_two_machines_share_a_search_in_postgresql(postgresql, prefix, tmp_path, store_uri):
    study = tmp_path / "shared.yaml"
    flags = "{n_cities: 40, hidden_size: 16, num_hidden_layers: 1, intermediate_size: 16, max_steps: 2, threads: 1}"
    study.write_text(
        f"task: location\nflags: {flags}\nsearch:\n  learning_rate: {{low: 1e-4, high: 1e-1, log: true}}\nn_trials: 4\n"
    )
    argv = [
        sys.executable,
        "-m",
        "trainers",
        "sweep",
        str(study),
        "--storage",
        postgresql,
        "--output_dir",
    ]
    workers = [
        subprocess.Popen(
            [*argv, str(prefix / name)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name in ("one", "other")
    ]
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    trained = [{path.parent.name for path in (prefix / name).glob("*/results.json")} for name in ("one", "other")]
    assert all(trained) and not trained[0] & trained[1]  # both worked, on different trials
    assert trained[0] | trained[1] == {f"trial-{number:03d}" for number in range(4)}

    import psycopg

    with psycopg.connect(postgresql) as connection:
        assert connection.execute("SELECT state FROM trials").fetchall() == [("COMPLETE",)] * 4


def test_the_page_is_for_this_machine_only_unless_asked():
    """`mlflow ui` binds to loopback by default; nothing here changes it."""
    makefile = (ROOT / "Makefile").read_text()
    assert "--host" not in makefile and "0.0.0.0" not in makefile
    help_text = subprocess.run([sys.executable, "-m", "mlflow", "ui", "--help"], capture_output=True, text=True).stdout
    assert "127.0.0.1" in help_text
