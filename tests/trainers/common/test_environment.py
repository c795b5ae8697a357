"""What is said of the code that a run was made with, and which cores there are."""

import os
import subprocess

import pytest

from tests.helpers import contents
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
