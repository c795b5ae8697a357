"""Links, races, full disks, missing permissions, no network, a killed builder: nothing is lost and nothing is half."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT, assert_named, refusal
from trainers.errors import UserError
from trainers.folders import output_dir as folders
from trainers.folders.run_folder import RunFolder

RUN = [sys.executable, str(ROOT / "trainers" / "run.py")]
BUILD = [sys.executable, "-m", "trainers", "dataset"]
BIG = ["--task", "distance", "--n_cities", "2000", "--n_train", "600000"]
"""A dataset of about 30 MB."""


def start(argv, **kwargs):
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def finish(process):
    """Exit code and what was said; an error is one sentence, the last one."""
    printed, error = process.communicate(timeout=500)
    assert process.returncode in (0, 2) and "Traceback" not in error, error[-3000:]
    if process.returncode == 2:
        said = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(said) == 1 and error.endswith(said[0] + "\n")
    return process.returncode, printed + error


def do(argv, **kwargs):
    return finish(start(argv, **kwargs))


def surroundings(prefix, store_uri):
    return os.environ | {"EXP_DIR_PREFIX": str(prefix), "MLFLOW_TRACKING_URI": store_uri, "OMP_NUM_THREADS": "1"}


# Links and races


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"task": "location"}')
    (folder / "kept.txt").write_text("results")
    return folder


def make_precious(folder, marker=False):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    if marker:
        (folder / "run.json").write_text('{"task": "location"}')
    return folder


def is_precious(folder):
    return (folder / "thesis.tex").read_text() == "years of work"


def planned(prefix, output_dir, overwrite=True):
    return folders.plan(prefix.resolve(), "x", str(output_dir), overwrite, None)


REFUSED = (
    "outputs/out",  # a link to outside
    "outputs/out/deeper",
    "outputs/home",  # a link to the prefix
    "outputs/home/.",
    "outputs/up",  # a link to the prefix's parent
    "outputs/up/outputs",
    "outputs/a",  # two links in a circle
    "outputs/a/run",
    "outputs/self",
    "outputs/dead",  # a link to what is not there, outside
    "outputs/run/../..",
    "outputs/run/../../exp_old",
    "outputs",
    "outputs/",
    "outputs/run/..",
    "outputs/.",
    "outputs_old",
    "outputs_old/run",
    "exp_old",
    "/",
    "~",
    "",
)


@pytest.mark.parametrize("spelt", REFUSED)
def test_a_folder_that_may_not_be_replaced_is_refused_however_it_is_spelt(spelt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    prefix = tmp_path / "outputs"
    make_run(prefix / "run")
    for name in ("exp_old", "outputs_old"):
        make_precious(tmp_path / name, marker=True)
    links = {"out": "../exp_old", "home": ".", "up": "..", "a": "b", "b": "a", "self": "self", "dead": "../nothing"}
    for name, target in links.items():
        (prefix / name).symlink_to(target)
    with pytest.raises(UserError):
        planned(prefix, spelt)
    assert is_precious(tmp_path / "exp_old") and is_precious(tmp_path / "outputs_old")
    assert (prefix / "run" / "kept.txt").exists()


def test_a_prefix_behind_a_link_is_that_prefix(tmp_path):
    make_run(tmp_path / "disk" / "run")
    (tmp_path / "outputs").symlink_to("disk")
    assert planned(tmp_path / "outputs", tmp_path / "outputs" / "run").folder == tmp_path / "disk" / "run"
    with refusal("EXP_DIR_PREFIX"):
        planned(tmp_path / "outputs", tmp_path / "disk")


@pytest.mark.parametrize("marker", [False, True], ids=["no run", "a run"])
@pytest.mark.parametrize("place", ["outside", "inside"])
def test_a_folder_swapped_for_a_link_before_it_is_claimed(place, marker, prefix, tmp_path):
    folder = make_run(prefix / "run")
    precious = make_precious(tmp_path / "thesis" if place == "outside" else prefix / "thesis", marker)
    plan = planned(prefix, folder)
    shutil.rmtree(folder)
    folder.symlink_to(precious)
    with pytest.raises((UserError, OSError)):
        folders.claim(plan, {"task": "location"})
    assert is_precious(precious)


def test_a_folder_swapped_for_one_that_is_no_run(prefix):
    folder = make_run(prefix / "run")
    plan = planned(prefix, folder)
    shutil.rmtree(folder)
    make_precious(folder)
    with refusal("run.json"):
        folders.claim(plan, {"task": "location"})
    assert is_precious(folder)


def test_a_parent_swapped_for_a_link_before_it_is_claimed(prefix, tmp_path):
    folder = make_run(prefix / "group" / "run")
    precious = make_precious(tmp_path / "elsewhere" / "run", marker=True)
    plan = planned(prefix, folder)
    shutil.rmtree(folder.parent)
    folder.parent.symlink_to(precious.parent)
    with pytest.raises(UserError):
        folders.claim(plan, {"task": "location"})
    assert is_precious(precious)


def test_a_new_folder_that_is_a_link_when_it_is_claimed(prefix, tmp_path):
    precious = make_precious(tmp_path / "thesis")
    plan = planned(prefix, prefix / "new", overwrite=False)
    (prefix / "new").symlink_to(precious)
    with pytest.raises(UserError):
        folders.claim(plan, {"task": "location"})
    assert is_precious(precious) and not (precious / "run.json").exists()


def test_a_new_folder_that_is_in_use_when_it_is_claimed(prefix):
    plan = planned(prefix, prefix / "new", overwrite=False)
    make_precious(prefix / "new")
    with pytest.raises(UserError):
        folders.claim(plan, {"task": "location"})
    assert is_precious(prefix / "new") and not (prefix / "new" / "run.json").exists()


# A full disk, and one that may not be written


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 MB; `remount` changes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.slow
def test_a_disk_too_small_for_the_dataset(small_disk, store_uri):
    env = surroundings(small_disk, store_uri)
    code, said = do([*BUILD, *BIG], env=env)
    assert code == 2 and "No space left on device" in said
    assert not [path for path in (small_disk / "datasets").iterdir() if path.suffix != ".lock"]  # nothing half
    remount(small_disk, "size=200m")
    code, said = do([*BUILD, *BIG], env=env)
    assert code == 0 and "dataset built in" in said


@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle_of_a_run(small_disk, tiny, store_uri):
    from safetensors.torch import load_file

    remount(small_disk, "size=64m")
    env = surroundings(small_disk, store_uri)
    argv = [*RUN, *tiny, "--max_steps", "8", "--hidden_size", "128"]
    whole, cut = small_disk / "whole", small_disk / "run"
    assert do([*argv, "--output_dir", str(whole)], env=env)[0] == 0
    used = {step: sum(path.stat().st_size for path in (whole / f"checkpoint-{step}").iterdir()) for step in (0, 2)}
    # What is left holds checkpoint-0 (without an optimizer) and checkpoint-2, but not the next one as well.
    room = used[0] + int(1.6 * used[2])
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
    argv += ["--output_dir", str(cut)]
    code, said = do(argv, env=env)
    assert code == 2 and "space" in said
    kept = RunFolder(cut).last_checkpoint
    assert kept is not None and load_file(kept / "model.safetensors")
    (small_disk / "ballast").unlink()
    assert do([*argv, "--resume_from_checkpoint", "last"], env=env)[0] == 0
    first, second = (load_file(folder / "checkpoint-8" / "model.safetensors") for folder in (whole, cut))
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["building", "training"])
def test_a_disk_that_may_only_be_read(what, small_disk, tiny, store_uri):
    env = surroundings(small_disk, store_uri)
    assert do([*BUILD, "--task", "location", "--n_cities", "40"], env=env)[0] == 0
    before = sorted(small_disk.rglob("*"))
    remount(small_disk, "ro")
    command = [*BUILD, "--task", "location", "--n_cities", "41"] if what == "building" else [*RUN, *tiny]
    code, said = do(command, env=env)
    assert code == 2 and ("Read-only file system" in said or "permission" in said)
    assert sorted(small_disk.rglob("*")) == before


# Runs at once


@pytest.mark.slow
def test_eight_runs_at_once(prefix, tiny, tmp_path):
    import mlflow

    (tmp_path / "fresh").mkdir()
    store = f"sqlite:///{tmp_path / 'fresh' / 'mlflow.db'}"
    running = [start([*RUN, *tiny], env=surroundings(prefix, store)) for _ in range(8)]
    assert [finish(process)[0] for process in running] == [0] * 8
    folders = sorted((prefix / "runs").glob("[!.]*"))
    assert [folder.name for folder in folders] == [f"location-{number:03d}" for number in range(1, 9)]
    assert all((folder / "results.json").is_file() for folder in folders)
    mlflow.set_tracking_uri(store)
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(run.info.run_name for run in found) == [folder.name for folder in folders]
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.slow
def test_two_runs_at_once_for_one_folder(prefix, tiny, store_uri):
    argv = [*RUN, *tiny, "--max_steps", "40", "--eval_steps", "40", "--output_dir", str(prefix / "one")]
    running = [start(argv, env=surroundings(prefix, store_uri)) for _ in range(2)]
    answers = [finish(process) for process in running]
    assert sorted(code for code, _ in answers) == [0, 2], answers
    assert_named(next(said for code, said in answers if code == 2), "--output_dir", prefix / "one")
    assert (prefix / "one" / "results.json").is_file()


# No network, no foreign code


@pytest.mark.slow
@pytest.mark.parametrize("what", ["help", "building", "training"])
def test_everything_works_without_a_network(what, prefix, tiny, store_uri):
    alone = ["unshare", "-n"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("taking the network away needs root")
    command = {
        "help": [*RUN, "--task", "location", "--help"],
        "building": [*BUILD, "--task", "arc", "--pairs_per_task", "6", "--n_val", "1", "--n_test", "1"],
        "training": [*RUN, *tiny],
    }[what]
    code, said = do([*alone, *command], env=surroundings(prefix, store_uri))
    assert code == 0, said


def test_no_source_asks_for_foreign_code():
    """Arguments that no lint rule knows; imports and calls that may run what stands in data are banned in
    pyproject.toml."""
    words = re.compile(r"trust_remote_code|allow_pickle|FullLoader|UnsafeLoader|yaml\.Loader")
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sources = [ROOT / name for name in listed.split() if not name.startswith("tests/") and (ROOT / name).is_file()]
    assert sources
    assert not [path for path in sources if words.search(path.read_text(encoding="utf-8"))]


# A builder that is killed


def digests(prefix):
    """Split -> rows and digest, of the only dataset below a prefix."""
    (built,) = (prefix / "datasets").glob("[!.]*")
    return json.loads((built / "metadata.json").read_text())["splits"]


@pytest.mark.slow
def test_a_builder_killed_at_any_moment(tmp_path, store_uri):
    def building(name):
        (tmp_path / name).mkdir(exist_ok=True)
        argv = [*BUILD, "--task", "distance", "--n_cities", "1000", "--n_train", "400000"]
        return start(argv, env=surroundings(tmp_path / name, store_uri), start_new_session=True)

    assert finish(building("undisturbed"))[0] == 0
    killed, moments, interrupted = tmp_path / "killed" / "datasets", random.Random(0), 0
    for _ in range(10):
        process = building("killed")
        known = set(killed.glob("*"))
        while process.poll() is None and not {path for path in set(killed.glob(".*.partial-*")) - known}:
            time.sleep(0.005)  # it is still importing, or drawing pairs
        time.sleep(moments.uniform(0, 0.3))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        interrupted += process.returncode == -signal.SIGKILL
        for whole in killed.glob("[!.]*"):
            assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")
            shutil.rmtree(whole)
    assert interrupted >= 5
    assert finish(building("killed"))[0] == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")
    assert "dataset built" not in finish(building("killed"))[1]
