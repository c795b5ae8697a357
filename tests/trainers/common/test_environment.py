"""What is said of the code that a run was made with, and which cores there are."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers import contents, refusal
from trainers.common import environment


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout of one file, taken for the project's; gives its folder, and git as a function."""
    folder = tmp_path / "code"
    folder.mkdir()

    def git(*argv, text=None):
        settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(folder), *settings, *argv], input=text, text=True, check=True)

    git("init", "-q")
    (folder / "a.py").write_text("first\nsecond\n\n")
    git("add", ".")
    git("commit", "-qm", "start")
    for name in ("CODE", "ROOT"):
        monkeypatch.setattr(environment, name, folder)
    return folder, git


def test_the_difference_of_a_dirty_tree_can_be_applied_to_its_commit(repository):
    folder, git = repository
    assert environment.git_diff() == "" and environment.git_state()["git.dirty"] == "False"
    (folder / "a.py").write_text("first\nsecond, but not as it was\n\n")
    (folder / "new.py").write_text("not known to git")
    difference, changed = environment.git_diff(), contents(folder)[(folder / "a.py").relative_to(folder)]
    assert " M a.py\n?? new.py\n" in difference and environment.git_state()["git.dirty"] == "True"
    git("checkout", "-q", "a.py")
    git("apply", text=difference)
    assert contents(folder)[(folder / "a.py").relative_to(folder)] == changed


def test_a_large_difference_is_cut_and_says_so(repository):
    (repository[0] / "a.py").write_text("x" * 3_000_000)
    assert len(environment.git_diff()) < 1_100_000 and environment.git_diff().endswith("(cut off here)\n")


def test_an_installed_package_is_not_at_the_commit_of_what_it_lies_in(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.git_diff() == "" and environment.git_state() == {}


def test_cores_are_counted_where_the_system_does_not_say_which_may_be_used(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert environment.count_cores() == os.cpu_count()


@pytest.fixture
def variables(monkeypatch, tmp_path):
    """The process's variables, without those that name caches, and a prefix; restored afterwards."""
    for name in ("XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy() | {"EXP_DIR_PREFIX": str(tmp_path)})
    return os.environ


@pytest.mark.parametrize("home", ["/nonexistent", "/dev/null", "/dev/null/x"])
def test_without_a_home_caches_lie_below_the_prefix(variables, tmp_path, home):
    variables["HOME"] = home
    environment.set_up()
    for name in ("XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"):
        assert (tmp_path / ".cache") in [Path(variables[name]), Path(variables[name]).parent]


def test_with_a_home_caches_stay_where_they_are(variables, tmp_path):
    variables["HOME"] = str(tmp_path)
    environment.set_up()
    assert not {"XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"} & set(variables)


def test_a_command_of_another_copy_of_the_project_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "copy" / "trainers" / "common" / "environment.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("")
    monkeypatch.chdir(tmp_path / "copy")
    with refusal(str(environment.CODE), str(tmp_path / "copy"), "make"):
        environment.set_up()
