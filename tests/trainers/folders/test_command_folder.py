"""Folders of commands: marked, locked, and never another's."""

import json

import pytest

from trainers.errors import UserError
from trainers.folders.command_folder import folder_name, hold_folder
from trainers.folders.locks import is_held


def test_a_new_folder_is_marked_and_locked_as_long_as_it_is_held(prefix):
    with hold_folder(prefix / "studies" / "x", "study.json", {"study": "x"}) as folder:
        assert is_held(folder) and json.loads((folder / "study.json").read_text()) == {"study": "x"}
        with (
            pytest.raises(UserError, match="another process is writing"),
            hold_folder(folder, "study.json", {"study": "x"}),
        ):
            pass
    assert not is_held(folder)


def test_the_marker_of_an_earlier_start_stays(prefix):
    for study in ("first", "second"):
        with hold_folder(prefix / "x", "study.json", {"study": study}) as folder:
            assert json.loads((folder / "study.json").read_text()) == {"study": "first"}


@pytest.mark.parametrize("is_file", [True, False])
def test_a_folder_of_something_else_is_left_alone(is_file, prefix):
    other = prefix / "x"
    if is_file:
        other.write_text("mine")
    else:
        other.mkdir()
        (other / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="in use for something else"), hold_folder(other, "study.json", {}):
        pass
    assert other.is_file() or [path.name for path in other.iterdir()] == ["sweep.json"]


def test_a_folder_outside_the_prefix_is_refused(prefix, tmp_path):
    with pytest.raises(UserError, match="EXP_DIR_PREFIX"), hold_folder(tmp_path / "elsewhere", "study.json", {}):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("text, name", [("lr=1e-3", "lr=1e-3"), ("a/b", "a_b-"), ("..", "-")])
def test_a_text_becomes_a_name_that_a_folder_can_have(text, name):
    assert folder_name(text).startswith(name) and "/" not in folder_name(text)
