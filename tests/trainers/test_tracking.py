"""MLflow's store and runs: what is written where, whose run a folder's is, and what is said when something is gone."""

import json
import os
import shutil
import signal
import socket
import sqlite3
from pathlib import Path

import mlflow
import pytest

from tests.helpers import assert_named, refusal
from trainers.errors import UserError
from trainers.tracking.mlflow_runs import own_run, tracked_run
from trainers.tracking.mlflow_store import open_store, page_of, sqlite_uri


@pytest.fixture(autouse=True, scope="module")
def other_tests_keep_their_store():
    """MLflow's store is a setting of the process."""
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with a run in the experiment `moves`; to be copied."""
    folder = tmp_path_factory.mktemp("made") / "project"
    (folder / "run").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        with tracked_run(open_store("moves"), folder / "run", None) as tracker:
            tracker.text("old", "a.txt")
    return folder


@pytest.fixture
def copy(made, tmp_path, monkeypatch):
    """A copy of that project, whose store is MLflow's."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'copy' / 'mlflow.db'}")
    return tmp_path / "copy"


def only_run(name):
    (run,) = mlflow.search_runs(experiment_names=[name], output_format="list")
    return run


# What is written


def test_a_table_that_grows_is_one_artifact_that_the_page_shows(prefix):
    (prefix / "many").mkdir()
    with tracked_run(open_store("tables"), prefix / "many", None) as tracker:
        for n in (1, 3):
            tracker.table({"step": list(range(n)), "right": [0.5] * n}, "examples.json")
        tracker.table({"run": ["a"]}, "sweep.json")
        assert tracker.rows("examples.json") == [[0, 0.5], [1, 0.5], [2, 0.5]] and tracker.rows("none.json") == []
    tag = json.loads(mlflow.get_run(tracker.run_id).data.tags["mlflow.loggedArtifacts"])
    assert tag == [{"path": name, "type": "table"} for name in ("examples.json", "sweep.json")]
    mlflow.set_experiment("tables")
    os.environ.pop("MLFLOW_EXPERIMENT_ID")
    assert list(mlflow.load_table("examples.json", run_ids=[tracker.run_id])["step"]) == [0, 1, 2]


def test_parameters_beyond_mlflows_limit_of_a_call_are_logged_and_unset_ones_are_not(prefix):
    (prefix / "run").mkdir()
    with tracked_run(open_store("params"), prefix / "run", None) as tracker:
        tracker.params({**{f"n{number}": number for number in range(250)}, "a": None, "b": "", "c": {}, "d": False})
    params = mlflow.get_run(tracker.run_id).data.params
    assert len(params) == 251 and params["n0"] == "0" and params["d"] == "False"


# Variables of MLflow that reach for another record

VARIABLES = {
    "MLFLOW_RUN_ID": "{other}",
    "MLFLOW_EXPERIMENT_ID": "0",
    "MLFLOW_EXPERIMENT_NAME": "Default",
    "MLFLOW_ACTIVE_MODEL_ID": "m-0123",
    "MLFLOW_RUN_CONTEXT": '{{"mlflow.runName": "x", "mlflow.parentRunId": "{other}"}}',
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "MLFLOW_NESTED_RUN": "true",
    "MLFLOW_RUN_NAME": "x",
}


def test_no_variable_leads_into_another_record(copy, monkeypatch, capsys):
    open_store("moves")
    other = only_run("moves")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value.format(other=other.info.run_id))
    (copy / "new").mkdir()
    with tracked_run(open_store("own"), copy / "new", None) as tracker:
        tracker.metrics({"a": 1.0}, 0)
    run = only_run("own")
    assert run.info.run_id == tracker.run_id != other.info.run_id and run.info.run_name == "new"
    assert "mlflow.parentRunId" not in run.data.tags and run.data.metrics == {"a": 1.0}
    assert only_run("moves").to_dictionary() == other.to_dictionary()
    assert_named(capsys.readouterr().out, "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_CONTEXT")


# A store that was moved, or is gone, or another version's


def test_a_project_that_was_copied_keeps_its_artifacts_in_the_new_place(made, copy, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    with tracked_run(open_store("moves"), copy / "run", None) as tracker:
        tracker.text("new", "b.txt")
    assert_named(capsys.readouterr().out, (copy / "mlruns").as_uri(), (made / "mlruns").as_uri())
    runs = mlflow.search_runs(experiment_names=["moves"], output_format="list")
    assert {Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(copy) for run in runs} == {True}
    texts = {mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{name}") for run, name in zip(runs, "ba", strict=True)
             for name in [f"{name}.txt"]}  # fmt: skip
    assert texts == {"old", "new"}
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    open_store("moves")
    assert "moved" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["100%", "a%41b", "why?", "a b#c", "x&y;z=é"])
def test_a_project_may_be_called_what_means_something_in_a_uri(made, tmp_path, monkeypatch, name):
    shutil.copytree(made, tmp_path / name / "project")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(tmp_path / name / "project" / "mlflow.db"))
    with tracked_run(open_store("moves"), tmp_path / name / "project" / "run", None) as tracker:
        tracker.text("new", "b.txt")
    files = {path.name for path in (tmp_path / name).rglob("*.txt")}
    assert files == {"a.txt", "b.txt"} and [path.name for path in tmp_path.iterdir()] == [name]


def test_a_deleted_experiment_comes_back_without_its_runs(copy, capsys):
    experiment = open_store("moves")
    mlflow.MlflowClient().delete_experiment(experiment)
    (copy / "new").mkdir()
    with tracked_run(open_store("moves"), copy / "new", None) as tracker:
        pass
    assert only_run("moves").info.run_id == tracker.run_id
    assert_named(capsys.readouterr().out, "restored", "moves", 1, "clean-runs")


def with_version(version):
    def change(database):
        with sqlite3.connect(database) as store:
            store.execute("UPDATE alembic_version SET version_num = ?", (version,))
        return f"sqlite:///{database}"

    return change


def no_database(database):
    database.write_text("hello" * 1000)
    return f"sqlite:///{database}"


BROKEN = {
    "older": (with_version("0584bdc529eb"), ["mlflow", "db", "upgrade", "0584bdc529eb"]),
    "newer": (with_version("ffffffffffff"), ["newer", mlflow.__version__, "MLFLOW_TRACKING_URI"]),
    "text": (no_database, ["database", "MLFLOW_TRACKING_URI"]),
    "folder": (lambda database: f"sqlite:///{database.parent}", ["writable"]),
    "file store": (lambda database: str(database.parent / "runs"), ["mlflow", "migrate-filestore", "sqlite"]),
    "no server": (lambda database: "http://127.0.0.1:9", ["server", "MLFLOW_TRACKING_URI"]),
    "no database server": (lambda database: "postgresql://me:secret@127.0.0.1:9/x", ["server", "me"]),
    "nonsense": (lambda database: "foo://x", ["MLFLOW_TRACKING_URI"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_every_kind_of_broken_store_has_its_own_advice(copy, monkeypatch, kind):
    breaks, names = BROKEN[kind]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", breaks(copy / "mlflow.db"))
    with refusal(*names) as caught:
        open_store("moves")
    assert "secret" not in str(caught.value)


# Whose run it is


def test_a_folder_goes_on_with_its_own_run_where_it_lies_and_after_a_move(copy, capsys):
    experiment = open_store("own")
    folder = copy / "a"
    folder.mkdir()
    with tracked_run(experiment, folder, None) as first:
        pass
    assert own_run(first.run_id, folder)[0] is not None
    folder = folder.rename(copy / "b")
    with tracked_run(experiment, folder, first.run_id) as again:
        pass
    assert again.run_id == first.run_id and only_run("own").data.tags["output_dir"] == str(folder)


def other_machine(monkeypatch, folder):
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    return folder.rename(folder.with_name("carried"))


def copied(monkeypatch, folder):
    return Path(shutil.copytree(folder, folder.with_name("copied")))


def deleted(monkeypatch, folder):
    mlflow.MlflowClient().delete_run(only_run("own").info.run_id)
    return folder


def new_store(monkeypatch, folder):
    shutil.copy(folder.parents[1] / "pristine.db", folder.parent / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder.parent / 'other.db'}")
    return folder


@pytest.mark.parametrize("change", [other_machine, copied, deleted, new_store])
def test_a_run_whose_record_is_gone_or_anothers_goes_on_in_a_new_one(copy, monkeypatch, capsys, change):
    shutil.copy(copy / "mlflow.db", copy.parent / "pristine.db")
    folder = copy / "run2"
    folder.mkdir()
    with tracked_run(open_store("own"), folder, None) as first:
        first.metrics({"a": 1.0}, 0)
    folder = change(monkeypatch, folder)
    with tracked_run(open_store("own"), folder, first.run_id) as second:
        second.metrics({"a": 2.0}, 1)
    run = mlflow.get_run(second.run_id)
    assert second.run_id != first.run_id == run.data.tags["continues_run_id"] and run.info.status == "FINISHED"
    assert_named(capsys.readouterr().out, first.run_id)
    if change in (other_machine, copied):
        assert mlflow.get_run(first.run_id).data.metrics == {"a": 1.0}


def test_a_run_that_was_marked_as_killed_is_not_any_more_when_it_goes_on(copy, capsys):
    experiment, folder = open_store("own"), copy / "run2"
    folder.mkdir()
    with tracked_run(experiment, folder, None) as first:
        pass
    mlflow.MlflowClient().update_run(first.run_id, status="RUNNING")
    (copy / "next").mkdir()
    with tracked_run(experiment, copy / "next", None):
        pass
    assert "ended" in mlflow.get_run(first.run_id).data.tags
    with tracked_run(experiment, folder, first.run_id):
        pass
    run = mlflow.get_run(first.run_id)
    assert "ended" not in run.data.tags and run.info.status == "FINISHED"


# A store that is lost while it is written


def test_a_store_that_takes_no_more_ends_the_run_as_sigterm_does(copy):
    asked = []
    with refusal("--resume_from_checkpoint", "last"):  # noqa: SIM117
        with tracked_run(open_store("own"), copy / "run", None) as tracker:
            signal.signal(signal.SIGTERM, lambda *caught: asked.append(caught))  # as a training does
            mlflow.MlflowClient().delete_run(tracker.run_id)
            for step in range(500):
                tracker.metrics({"a": 1.0}, step)
            tracker.text("dropped", "a.txt")
            assert len(asked) == 1
    assert mlflow.active_run() is None
    with pytest.raises(UserError), tracked_run(open_store("own"), copy / "run", None) as tracker:
        mlflow.MlflowClient().delete_run(tracker.run_id)
        tracker.tags({"a": 1})
        pytest.fail("outside of training it ends at once")


@pytest.mark.slow
def test_a_run_whose_record_is_deleted_loses_no_step_and_goes_on_in_a_new_one(prefix, tiny, monkeypatch, capsys):
    from tasks.geography.location.trainer import LocationTrainer
    from trainers.run import main

    score = LocationTrainer.score

    def delete(self, *args):
        mlflow.MlflowClient().delete_run(mlflow.active_run().info.run_id)
        return score(self, *args)

    argv = [*tiny, "--output_dir", str(prefix / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(LocationTrainer, "score", delete)
        patch.setattr("trainers.callbacks.figures.DrawFigures.on_evaluate", lambda *args, **kwargs: None)
        assert main([*argv, "--no_eval_on_start", "--max_steps", "8", "--eval_steps", "3", "--save_steps", "6"]) == 2
    assert_named(capsys.readouterr().err, "--resume_from_checkpoint", "last")
    assert (prefix / "run" / "checkpoint-3" / "trainer_state.json").is_file()
    again = ["--no_eval_on_start", "--max_steps", "8", "--eval_steps", "3", "--save_steps", "6"]
    assert main([*argv, *again, "--resume_from_checkpoint", "last"]) == 0
    run_id = json.loads((prefix / "run" / "run.json").read_text())["mlflow_run_id"]
    steps = [point.step for point in mlflow.MlflowClient().get_metric_history(run_id, "train/loss")]
    assert steps == list(range(1, 9)) and mlflow.get_run(run_id).data.tags["continues_run_id"]


def test_the_page_of_a_run_opens_the_view_of_trainings(copy):
    experiment = open_store("moves")
    run_id = only_run("moves").info.run_id
    page = page_of(run_id)
    assert f"/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning" in page
    assert f"--backend-store-uri sqlite:///{copy / 'mlflow.db'}" in page


# What people change on MLflow's page


def test_a_run_goes_on_in_its_record_after_its_experiment_and_itself_were_renamed(copy):
    open_store("moves")
    run, client = only_run("moves"), mlflow.MlflowClient()
    client.set_tag(run.info.run_id, "mlflow.runName", "my best")
    client.rename_experiment(run.info.experiment_id, "mine")
    client.set_tag(run.info.run_id, "output_dir", str(copy / "run"))
    client.set_tag(run.info.run_id, "output_dir_inode", str((copy / "run").stat().st_ino))
    with tracked_run(open_store("moves"), copy / "run", run.info.run_id) as tracker:
        tracker.metrics({"loss": 1.0}, 1)
    assert tracker.run_id == run.info.run_id and f"/{run.info.experiment_id}/runs/" in page_of(tracker.run_id)
    found = client.get_run(run.info.run_id)
    assert found.info.run_name == "my best" and found.data.metrics == {"loss": 1.0}


def test_a_running_record_of_something_else_stops_no_training(prefix):
    experiment, client = open_store("foreign"), mlflow.MlflowClient()
    other = client.create_run(experiment, run_name="not ours", tags={"host": socket.gethostname()})
    (prefix / "ours").mkdir()
    with tracked_run(experiment, prefix / "ours", None) as tracker:
        pass
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert client.get_run(other.info.run_id).info.status == "RUNNING"
