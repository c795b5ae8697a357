"""The output folder is only ever created, resumed or replaced on purpose."""

import json
import os
import shutil

import pytest

from tests.helpers import assert_named, assert_one_line, contents, refusal
from trainers.common.files import write_json
from trainers.folders import output_dir as folders
from trainers.folders.command_folder import hold_folder
from trainers.folders.locks import hold_lock
from trainers.folders.run_folder import RunFolder
from trainers.run import main


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"task": "location", "figures": ["world_map.png"]}')
    for name in ("settings.json", "results.json", "model.safetensors", "summary.png", "world_map.png"):
        (folder / name).write_text("results")
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2" / "config.json").write_text("results")
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
    assert run.marker["new"] and not (run.path / "results.json").exists()
    assert (prefix / "run_old" / "results.json").read_text() == "results"


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


def test_overwriting_keeps_and_names_what_no_run_wrote(prefix, capsys):
    folder = make_run(prefix / "run")
    mine = {"notes.md": "mine", "my_map.png": "mine", "analysis/a.csv": "1", "checkpoint-old/x": "1", ".hidden": "1"}
    for name, text in mine.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (prefix / "elsewhere").mkdir()
    (prefix / "elsewhere" / "kept").write_text("1")
    (folder / "checkpoint-4").symlink_to(prefix / "elsewhere")  # moved to another disk, say
    (folder / ".results.json.1a2b3c4d").write_text("cut off")
    _, lock = folders.claim(plan(prefix, folder, overwrite=True), {"task": "location"})
    lock.release()
    assert {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()} == {
        **mine,
        "run.json": (folder / "run.json").read_text(),
    }
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"analysis", "checkpoint-old"}
    assert (prefix / "elsewhere" / "kept").exists()
    said = capsys.readouterr().out
    assert_named(said, folder, ".hidden", "analysis", "checkpoint-old", "my_map.png", "notes.md")
    assert said.count("\n") == 1


def test_a_run_never_lies_in_another_nor_replaces_others(prefix):
    inner = make_run(prefix / "old" / "inner")  # as earlier versions allowed
    make_run(inner.parent / "x").rename(prefix / "x")
    for name in ("run.json", "settings.json"):
        (prefix / "x" / name).rename(prefix / "old" / name)
    (prefix / "link").symlink_to(prefix / "old")
    (prefix / "runs").mkdir()
    before = contents(prefix)
    for path in (prefix / "old", prefix / "link"):
        with refusal(prefix / "old", inner):
            plan(prefix, path, overwrite=True)
    for path in (inner, prefix / "old" / "new" / "deep", prefix / "link" / "new"):
        for overwrite in (False, True):
            with refusal(prefix / "old"):
                plan(prefix, path, overwrite=overwrite)
    for name in ("runs", "datasets", "studies", "sweeps", "compare"):
        with refusal(prefix / name):
            plan(prefix, prefix / name)
    with refusal(prefix / "old"), hold_folder(prefix / "old" / "study", "study.json", {}):
        pass
    assert contents(prefix) == before


def test_a_run_around_a_planned_one_that_was_faster_is_not_written_into(prefix):
    planned = plan(prefix, prefix / "outer" / "inner")
    make_run(prefix / "outer")
    with refusal(prefix / "outer"):
        folders.claim(planned, {"task": "location"})


def test_what_is_in_use_below_a_run_is_not_replaced(prefix):
    folder = make_run(prefix / "run")
    with hold_lock(folder / "analysis" / "deep"), refusal(folder, folder / "analysis" / "deep"):
        plan(prefix, folder, overwrite=True)
    assert plan(prefix, folder, overwrite=True).mode == "overwrite"


def test_a_run_does_not_replace_what_it_reads(prefix):
    folder = make_run(prefix / "run")
    (prefix / "link").symlink_to(folder)
    planned = plan(prefix, prefix / "link", overwrite=True)
    for path in (
        folder,
        folder / "checkpoint-2",
        prefix / "link",
        prefix / "link" / "checkpoint-2",
        folder / "." / "x",
    ):
        with refusal("--init_from", folder):
            folders.check_sources(planned, {"init_from": str(path)})
    with refusal("--cities_file", folder):
        folders.check_sources(planned, {"init_from": None, "cities_file": f"/somewhere/a.csv,{folder / 'b.csv'}"})
    folders.check_sources(planned, {"init_from": f"{folder}_base", "dataset": str(prefix)})


def test_the_command_line_refuses_to_replace_its_own_base(finished_run, prefix, tiny, capsys):
    shutil.copytree(finished_run, prefix / "base")
    before = contents(prefix / "base")
    for base in (prefix / "base", prefix / "base" / "checkpoint-2"):
        assert main([*tiny, "--init_from", str(base), "--output_dir", str(prefix / "base"), "--overwrite"]) == 2
        assert_one_line(capsys.readouterr().err, "--init_from", base)
    assert contents(prefix / "base") == before


def test_a_run_that_stops_being_one_before_the_deletion_is_kept(prefix):
    folder = make_run(prefix / "run")
    planned = plan(prefix, folder, overwrite=True)
    (folder / "run.json").unlink()
    with refusal(folder, "run.json"):
        folders.claim(planned, {"task": "location"})
    assert (folder / "results.json").read_text() == "results"


def test_outside_the_prefix_is_refused_however_it_is_spelt(prefix, tmp_path):
    sibling = make_run(tmp_path / "outputs_old")
    (prefix / "link").symlink_to(sibling)
    for path in (sibling, prefix / ".." / "outputs_old", prefix / "link", prefix / "link" / "deeper"):
        with refusal("EXP_DIR_PREFIX", sibling):
            plan(prefix, path, overwrite=True)
    assert (sibling / "results.json").exists()


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
