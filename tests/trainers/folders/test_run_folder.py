"""The one object that knows what lies in a run folder, also in folders of earlier versions."""

import json

import pytest

from trainers.errors import UserError
from trainers.folders.locks import hold_lock
from trainers.folders.run_folder import RunFolder

OLD_MARKER = {
    "task": "location",
    "package": "tasks.location",
    "command": "trainers/run.py --task location",
    "git.commit": "abc",
    "git.dirty": "False",
    "mlflow_run_id": "12ab",
}
"""As written before tasks lay in families."""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(OLD_MARKER))
    return RunFolder(folder)


def add_checkpoint(run, name, complete=True):
    (run.path / name).mkdir()
    if complete:
        (run.path / name / "trainer_state.json").write_text('{"global_step": 1}')


def test_the_marker_of_an_old_run_still_names_its_task(run):
    assert run.task.name == "location" and run.task.package == "tasks.geography.location"
    assert run.run_id == "12ab" and run.git == {"git.commit": "abc", "git.dirty": "False"}


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"no": "task"}', "\udcff"])
def test_a_folder_without_a_readable_marker_is_no_runs(content, tmp_path):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="not a folder of a run"):
        RunFolder(tmp_path).check_marker()


def test_a_run_is_finished_when_it_has_results(run):
    assert not run.is_finished
    with pytest.raises(UserError, match="no finished run"):
        _ = run.results
    run.write_results({"steps": 3})
    assert run.is_finished and run.results == {"steps": 3}


def test_the_dataset_stands_in_the_settings(run, tmp_path):
    with pytest.raises(UserError, match=r"settings\.json"):
        _ = run.dataset
    run.write_settings({"training": {}})
    with pytest.raises(UserError, match="no dataset_folder"):
        _ = run.dataset
    run.write_settings({"dataset_folder": str(tmp_path / "data")})
    assert run.dataset == tmp_path / "data"


def test_checkpoints_are_ordered_by_step_and_only_complete_ones_count(run):
    for name in ("checkpoint-10", "checkpoint-2", "checkpoint-x"):
        add_checkpoint(run, name)
    add_checkpoint(run, "checkpoint-30", complete=False)
    assert list(run.checkpoints) == [2, 10] and list(run.checkpoint_folders) == [2, 10, 30]
    assert run.checkpoint_names == "checkpoint-2, checkpoint-10, checkpoint-30"


def test_a_deleted_checkpoint_is_gone_and_so_is_the_rest_of_an_interrupted_deletion(run):
    add_checkpoint(run, "checkpoint-2")
    add_checkpoint(run, ".checkpoint-1")
    run.delete_checkpoint(2)
    run.delete_leftovers()
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def test_a_model_belongs_to_the_run_whose_folder_or_checkpoint_it_is(run, tmp_path):
    add_checkpoint(run, "checkpoint-2")
    assert RunFolder.of_model(run.path) == run
    assert RunFolder.of_model(run.path / "checkpoint-2") == run
    assert RunFolder.of_model(tmp_path) is None


def test_a_run_is_held_as_long_as_its_lock_is(run):
    assert not run.is_held()
    with hold_lock(run.path):
        assert run.is_held()
    assert not run.is_held()


def test_runs_inside_are_those_of_other_folders(run):
    assert run.runs_inside == []
    (run.path / "inner").mkdir()
    RunFolder(run.path / "inner").write_marker(OLD_MARKER)
    assert run.runs_inside == [run.path / "inner"]
