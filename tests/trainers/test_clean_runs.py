"""Deleting tracked runs for good: what goes, what stays, and that nothing goes unasked."""

import itertools
import json
import shutil
import socket
from pathlib import Path

import mlflow
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from tests.helpers import assert_named, assert_one_line
from trainers.commands import clean_runs
from trainers.tracking.mlflow_store import open_store

NUMBERS = itertools.count()


class Records:
    """Runs in an experiment of their own, each with a folder and an artifact."""

    def __init__(self, prefix):
        self.experiment = open_store(f"clean-{next(NUMBERS)}")
        self.prefix, self.client = prefix, MlflowClient()
        self.query = f"tags.made_for = '{self.experiment}'"

    def make(self, name, status="FINISHED", folder=None, **tags):
        run_id = self.client.create_run(self.experiment, run_name=name).info.run_id
        folder = folder or self.prefix / "runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps({"task": "location", "mlflow_run_id": run_id}))
        (folder / "model.safetensors").write_bytes(b"x" * 500_000)
        for key, value in {"output_dir": str(folder), "made_for": self.experiment, **tags}.items():
            self.client.set_tag(run_id, key, value)
        self.client.log_param(run_id, "rate", "1")
        self.client.log_metric(run_id, "loss", 1.0)
        self.client.log_text(run_id, "y" * 250_000, "note.txt")
        if status != "RUNNING":
            self.client.set_terminated(run_id, status)
        return run_id, folder

    def exists(self, run_id):
        try:
            return bool(self.client.get_run(run_id))
        except mlflow.MlflowException:
            return False

    def artifacts(self, run_id):
        return Path(self.client.get_run(run_id).info.artifact_uri.removeprefix("file://"))


@pytest.fixture
def records(prefix, monkeypatch):
    made = Records(prefix)
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("asked"))
    yield made
    for run in made.client.search_runs([made.experiment], run_view_type=mlflow.entities.ViewType.DELETED_ONLY):
        made.client.restore_run(run.info.run_id)  # the next test deletes what is marked deleted


def answering(monkeypatch, answer):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda *args: answer)


# --- what goes


def test_runs_marked_deleted_go_for_good_and_others_stay(records, capsys):
    (gone, gone_folder), (kept, kept_folder) = records.make("gone"), records.make("kept")
    artifacts, kept_artifacts = records.artifacts(gone), records.artifacts(kept)
    records.client.delete_run(gone)
    assert clean_runs.main(["--yes"]) == 0
    assert not records.exists(gone) and not artifacts.exists() and not artifacts.parent.exists()
    assert records.exists(kept) and (kept_artifacts / "note.txt").is_file()
    assert (gone_folder / "model.safetensors").is_file() and (
        kept_folder / "model.safetensors"
    ).is_file()  # no --folders
    shown = capsys.readouterr().out
    assert "deleted: gone" in shown and "kept" not in shown and "0.25" in shown and str(gone_folder) in shown
    assert clean_runs.main([]) == 0 and "no run is marked deleted" in capsys.readouterr().out


def test_runs_that_match_go_with_their_folders(records, capsys):
    (gone, folder), (kept, kept_folder) = records.make("gone", rate="low"), records.make("kept", rate="high")
    assert clean_runs.main(["--query", f"{records.query} and tags.rate = 'low'", "--folders", "--yes"]) == 0
    assert not records.exists(gone) and not folder.exists()
    assert records.exists(kept) and (kept_folder / "model.safetensors").is_file()
    assert not [path.name for path in folder.parent.iterdir() if "deleted" in path.name]
    shown = capsys.readouterr().out
    assert "MLflow run and folder" in shown and "0.75" in shown  # megabytes of both


def test_an_experiment_marked_deleted_and_its_other_runs_stay(records):
    """`mlflow gc` would delete them, and models marked deleted, with any run that is named."""
    (gone, _), (kept, _) = records.make("gone", rate="low"), records.make("kept")
    model = records.client.create_logged_model(open_store(f"clean-{next(NUMBERS)}"))
    records.client.delete_logged_model(model.model_id)
    records.client.delete_experiment(records.experiment)
    before = {one.name for one in records.client.search_experiments(mlflow.entities.ViewType.ALL)}
    try:
        assert clean_runs.main(["--query", f"{records.query} and tags.rate = 'low'", "--yes"]) == 0
        assert not records.exists(gone) and records.exists(kept)
        assert {one.name for one in records.client.search_experiments(mlflow.entities.ViewType.ALL)} == before
        assert model.model_id in marked_models()
    finally:
        records.client.restore_experiment(records.experiment)


def marked_models():
    """MLflow's client does not list what is marked deleted."""
    from mlflow.tracking import _get_store

    return _get_store()._get_deleted_logged_models()


def test_the_model_that_a_run_logged_goes_too(records):
    from mlflow.models import Model

    run_id, _ = records.make("real")
    with mlflow.start_run(run_id=run_id):
        model = Model.log(None, name="model", flavor=Flavour)
    location = Path(records.client.get_logged_model(model.model_id).artifact_location.removeprefix("file://"))
    assert (location / "model.safetensors").is_file()
    assert clean_runs.main(["--query", f"attributes.run_id = '{run_id}'", "--yes"]) == 0
    assert not records.exists(run_id) and not location.exists()
    with pytest.raises(mlflow.MlflowException):
        records.client.get_logged_model(model.model_id)


class Flavour:
    """The least that MLflow takes for a kind of model."""

    @staticmethod
    def save_model(path, mlflow_model, **kwargs):
        Path(path).mkdir(exist_ok=True)
        (Path(path) / "model.safetensors").write_text("w")
        mlflow_model.save(str(Path(path) / "MLmodel"))


def test_a_registered_model_keeps_its_run(records, capsys):
    run_id, _ = records.make("served")
    name = f"served-{records.experiment}"
    records.client.create_registered_model(name)
    records.client.create_model_version(name, records.client.get_run(run_id).info.artifact_uri, run_id)
    assert clean_runs.main(["--query", records.query, "--yes"]) == 0
    assert records.exists(run_id) and f"registered as {name}" in capsys.readouterr().out


# --- what stays


@pytest.mark.parametrize("marked", [True, False])
def test_a_running_run_stays(records, capsys, marked):
    run_id, folder = records.make("busy", status="RUNNING")
    if marked:
        records.client.delete_run(run_id)
    assert clean_runs.main([*([] if marked else ["--query", records.query]), "--folders", "--yes"]) == 0
    assert records.exists(run_id) and (folder / "model.safetensors").is_file()
    shown = capsys.readouterr().out
    assert "it is running" in shown and "nothing was deleted" in shown


def test_what_says_running_but_has_no_process_here_can_go(records):
    run_id, folder = records.make("killed", status="RUNNING", host=socket.gethostname())
    assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert not records.exists(run_id) and not folder.exists()


def test_a_folder_that_is_being_written_keeps_its_run(records, capsys):
    run_id, folder = records.make("resumed", host=socket.gethostname())
    with FileLock(folder.parent / ".resumed.lock"):
        assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert records.exists(run_id) and (folder / "model.safetensors").is_file()
    assert "being written" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["outside", "no run's", "another run's", "nested", "link to outside", "missing"])
def test_a_folder_that_is_not_surely_the_runs_own_stays(records, prefix, tmp_path, capsys, what):
    folder = tmp_path / "elsewhere" if what in ("outside", "link to outside") else prefix / "runs" / "mine"
    run_id, folder = records.make("mine", folder=folder)
    if what == "no run's":
        (folder / "run.json").write_text("{}")
    if what == "another run's":  # --overwrite
        records.make("newer", folder=folder, made_for="other")
    if what == "nested":
        records.make("inner", folder=folder / "inner", made_for="other")
    if what == "link to outside":
        (prefix / "link").symlink_to(folder)
        records.client.set_tag(run_id, "output_dir", str(prefix / "link"))
    if what == "missing":
        shutil.rmtree(folder)
    before = sorted(tmp_path.rglob("*"))
    assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert not records.exists(run_id)  # the record goes all the same
    assert {path for path in before if path not in set(tmp_path.rglob("*"))} == set()
    shown = capsys.readouterr().out
    assert "it has no folder here" in shown if what == "missing" else "folder stays: " in shown


def test_the_prefix_itself_is_never_deleted(records, prefix):
    run_id, _ = records.make("wide", folder=prefix)
    assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert (prefix / "model.safetensors").is_file() and not records.exists(run_id)


def test_a_run_taken_up_again_while_one_is_asked_stays(records, monkeypatch, capsys):
    run_id, folder = records.make("restored")
    records.client.delete_run(run_id)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)

    def restoring(*args):
        records.client.restore_run(run_id)
        return "yes"

    monkeypatch.setattr("builtins.input", restoring)
    assert clean_runs.main(["--folders"]) == 0
    assert records.exists(run_id) and (folder / "model.safetensors").is_file()
    assert "left alone: restored" in capsys.readouterr().out


def test_an_interrupted_deletion_is_finished_by_the_next(records, monkeypatch):
    run_id, folder = records.make("half")
    (folder / "settings.json").write_text("{}")

    def stop(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainers.folders.run_folder._delete", stop)
        assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 130
    assert records.exists(run_id) and (folder / "run.json").is_file()
    assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert not records.exists(run_id) and not folder.exists()


def test_files_of_the_users_own_stay_and_are_named(records, capsys):
    run_id, folder = records.make("noted")
    (folder / "notes").mkdir()
    (folder / "notes" / "idea.txt").write_text("mine")
    assert clean_runs.main(["--query", records.query, "--folders", "--yes"]) == 0
    assert not records.exists(run_id)
    assert [path.name for path in folder.rglob("*")] == ["notes", "idea.txt"]
    assert f"kept in {folder}" in capsys.readouterr().out


# --- asking


@pytest.mark.parametrize("answer", ["", "y", "no", "YES!"])
def test_anything_but_yes_deletes_nothing(records, monkeypatch, capsys, answer):
    run_id, folder = records.make("asked")
    answering(monkeypatch, answer)
    assert clean_runs.main(["--query", records.query, "--folders"]) == 0
    assert (
        records.exists(run_id)
        and (folder / "model.safetensors").is_file()
        and "nothing was deleted" in capsys.readouterr().out
    )


def test_yes_on_a_terminal_deletes(records, monkeypatch):
    run_id, folder = records.make("asked")
    answering(monkeypatch, "yes")
    assert clean_runs.main(["--query", records.query, "--folders"]) == 0
    assert not records.exists(run_id) and not folder.exists()


def test_without_a_terminal_nothing_goes_unless_it_is_said(records, capsys):
    run_id, _ = records.make("script")
    assert clean_runs.main(["--query", records.query]) == 2
    assert records.exists(run_id)
    assert_named(capsys.readouterr().err, "--yes")


@pytest.mark.parametrize(
    "argv, names",
    [
        (["--query", "tags.x = y"], "--query tags.x"),
        (["--folder"], "folder folders"),
        (["--yes", "perhaps"], "--yes"),
        (["all"], "'all'"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(argv, names, prefix, capsys):
    assert clean_runs.main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names.split())


def test_a_server_cannot_delete_for_good_and_says_so(records, monkeypatch, capsys):
    run_id, _ = records.make("remote")
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: "http://127.0.0.1:9")
    assert clean_runs.main(["--query", records.query, "--yes"]) == 2
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err and records.exists(run_id)
