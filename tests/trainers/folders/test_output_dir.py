"""The output folder is only ever created, resumed or replaced on purpose."""

import json
import os

import pytest

from tests.helpers import refusal
from trainers.common.files import write_json
from trainers.folders import output_dir as folders
from trainers.folders.run_folder import RunFolder


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"task": "location"}')
    (folder / "kept.txt").write_text("results")
    return folder


def plan(prefix, output_dir=None, overwrite=False, resume=None):
    return folders.plan(prefix.resolve(), "x", None if output_dir is None else str(output_dir), overwrite, resume)


def test_a_fresh_folder_is_created_with_its_marker(prefix):
    run, lock = folders.claim(plan(prefix, prefix / "a" / "b"), {"task": "location"})
    assert run == RunFolder(prefix / "a" / "b") and run.marker == {"task": "location"}
    lock.release()


def test_runs_without_a_folder_are_numbered(prefix):
    claimed = [folders.claim(plan(prefix), {"task": "location"})[0].path.name for _ in range(3)]
    assert claimed == ["x-001", "x-002", "x-003"]


def test_planning_changes_nothing(prefix):
    make_run(prefix / "run")
    before = sorted(str(p) for p in prefix.rglob("*"))
    plan(prefix, prefix / "run", overwrite=True)
    plan(prefix, prefix / "new")
    plan(prefix)
    assert sorted(str(p) for p in prefix.rglob("*")) == before


def test_overwriting_replaces_a_run_and_nothing_else(prefix):
    make_run(prefix / "run")
    make_run(prefix / "run_old")
    run, _ = folders.claim(plan(prefix, prefix / "run", overwrite=True), {"task": "location", "new": True})
    assert run.marker["new"] and not (run.path / "kept.txt").exists()
    assert (prefix / "run_old" / "kept.txt").read_text() == "results"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"other": 1}'], ids=str)
def test_a_folder_that_is_no_run_is_never_overwritten(prefix, content):
    folder = prefix / "precious"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    if content is not None:
        (folder / "run.json").write_text(content)
    with refusal(folder, "run.json"):
        plan(prefix, folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_run_that_stops_being_one_before_the_deletion_is_kept(prefix):
    folder = make_run(prefix / "run")
    planned = plan(prefix, folder, overwrite=True)
    (folder / "run.json").unlink()
    with refusal(folder, "run.json"):
        folders.claim(planned, {"task": "location"})
    assert (folder / "kept.txt").read_text() == "results"


def test_outside_the_prefix_is_refused_however_it_is_spelt(prefix, tmp_path):
    sibling = make_run(tmp_path / "outputs_old")
    (prefix / "link").symlink_to(sibling)
    for path in (sibling, prefix / ".." / "outputs_old", prefix / "link", prefix / "link" / "deeper"):
        with refusal("EXP_DIR_PREFIX", sibling):
            plan(prefix, path, overwrite=True)
    assert (sibling / "kept.txt").exists()


def test_the_prefix_itself_is_refused(prefix):
    for path in (prefix, prefix / "a" / "..", f"{prefix}/."):
        with refusal("EXP_DIR_PREFIX", prefix):
            plan(prefix, path, overwrite=True)


def test_a_folder_reached_through_a_link_inside_the_prefix_is_its_target(prefix):
    make_run(prefix / "run")
    (prefix / "alias").symlink_to(prefix / "run")
    assert plan(prefix, prefix / "alias", overwrite=True).folder == prefix / "run"


def test_a_folder_in_use_by_another_run_is_refused(prefix):
    make_run(prefix / "run")
    _, lock = folders.claim(plan(prefix, prefix / "run", overwrite=True), {"task": "location"})
    with refusal(prefix / "run"):
        folders.claim(plan(prefix, prefix / "run", overwrite=True), {"task": "location"})
    lock.release()


def test_resuming_takes_the_newest_complete_checkpoint(prefix, monkeypatch):
    # What else makes a checkpoint whole: tests/test_interrupted_runs.py.
    monkeypatch.setattr(
        "trainers.folders.run_folder.damage_of", lambda path: None if any(path.iterdir()) else "it is empty"
    )
    folder = make_run(prefix / "run")
    for step in (5, 20, 100):
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (folder / "checkpoint-100" / "trainer_state.json").unlink()  # cut off while it was written
    assert plan(prefix, folder, resume="last").checkpoint == folder / "checkpoint-20"
    assert plan(prefix, None, resume=str(folder / "checkpoint-5")).folder == folder


def test_resuming_without_a_checkpoint_says_what_there_is(prefix):
    folder = make_run(prefix / "run")
    with refusal("--resume_from_checkpoint", folder):
        plan(prefix, folder, resume="last")


def test_json_is_never_half_written(prefix, monkeypatch):
    path = prefix / "x.json"
    write_json(path, {"a": 1})

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
