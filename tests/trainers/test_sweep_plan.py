"""Sweeps: what is written down, and what is refused before anything is trained."""

from pathlib import Path

import pytest

from tests.helpers import ROOT, assert_one_line, refusal
from trainers.commands import sweep
from trainers.folders.command_folder import folder_name
from trainers.studies import child_runs
from trainers.studies.sweep_plan import read_sweep
from trainers.studies.sweep_runs import split_of

from .sweep_helpers import GRID, SEARCH


@pytest.mark.parametrize(
    "text, names",
    [
        ("", "mine.yaml config task grid search"),
        ("- a\n", "mine.yaml config task grid search"),
        ("grid: [1\n", "mine.yaml config task grid search"),
        ("config: Zürich}\n".encode("latin-1"), "mine.yaml config task grid search"),
        ("config: location\n", "mine.yaml grid search"),
        (GRID + SEARCH.replace("task: location", ""), "mine.yaml grid search"),
        (GRID.replace("config: location", ""), "mine.yaml grid search"),
        (GRID + "task: location\n", "mine.yaml grid search"),
        (GRID.replace("config: location", "config: locatoin"), "locatoin location"),
        (SEARCH.replace("task: location", "task: locatoin"), "locatoin location"),
        (GRID.replace("grid:", "grids:"), "grids grid"),
        (GRID + "n_trials: 3\n", "n_trials search"),
        (SEARCH.replace("n_trials: 5", ""), "n_trials search"),
        (SEARCH.replace("n_trials: 5", "n_trials: 0"), "n_trials 0"),
        (SEARCH.replace("n_trials: 5", "n_trials: many"), "n_trials many"),
        (GRID.replace("hidden_size", "hiden_size"), "hiden_size"),
        (GRID.replace("n_cities: 40", "cities: 40"), "cities"),
        (SEARCH.replace("hidden_size", "hiden_size"), "hiden_size"),
        (GRID.replace("n_cities: 40", "hidden_size: 40"), "hidden_size"),
        (GRID.replace("n_cities: 40", "output_dir: x"), "output_dir"),
        (GRID.replace("hidden_size:", "overwrite:"), "overwrite"),
        (GRID.replace("[16, 32]", "16"), "hidden_size grid"),
        (GRID.replace("[16, 32]", "[]"), "hidden_size grid"),
        (GRID.replace("[16, 32]", "[16, 16]"), "hidden_size grid"),
        (GRID.replace("[16, 32]", "[16, null]"), "hidden_size grid"),
        (GRID.partition("grid:")[0] + "grid: {}\n", "grid {}"),
        (GRID.replace("flags: {n_cities: 40", "flags: [{n_cities: 40").replace("1}}", "1}}]"), "flags"),
        (SEARCH.replace("{low: 1, high: 9}", "5"), "seed 5 search"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1}"), "seed low"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 9, high: 1}"), "seed 9 1"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: ten}"), "seed ten"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: .inf}"), "seed inf"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: 9, lgo: true}"), "seed lgo"),
        (SEARCH.replace("{low: 1e-4, high", "{low: 0, high"), "learning_rate"),
        (SEARCH.replace("log: true", "log: 3"), "learning_rate log 3"),
        (SEARCH.replace("log: true", "log: true, step: 1e-3"), "learning_rate"),
        (SEARCH.replace("[16, 32]", "[]"), "hidden_size"),
        (SEARCH.replace("[16, 32]", "[[16], 32]"), "hidden_size choices"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line_before_anything_is_trained(swept, prefix, capsys, text, names):
    swept(text, None, code=2)
    assert_one_line(capsys.readouterr().err, *names.split())
    assert not (prefix / "sweeps").exists()


@pytest.mark.parametrize(
    "argv, names",
    [
        (["--study", "nowhere"], "nowhere"),
        (["--stdy", "x"], "stdy study"),
        (["--storage", "sqlite:///x.db"], "--storage"),
        (["--output_dir", "/tmp"], "--output_dir /tmp EXP_DIR_PREFIX"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(argv, names, prefix, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)
    assert sweep.main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names.split())


def test_a_folder_of_something_else_is_left_alone(swept, prefix, capsys):
    (prefix / "precious").mkdir()
    (prefix / "precious" / "file").touch()
    swept(GRID, None, "--output_dir", str(prefix / "precious"), code=2)
    assert_one_line(capsys.readouterr().err, prefix / "precious")
    assert [path.name for path in (prefix / "precious").iterdir()] == ["file"]


def test_whole_numbers_stay_whole_and_texts_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(SEARCH)
    space = read_sweep(path).space
    assert {name: type(found).__name__ for name, found in space.items()} == {
        "learning_rate": "FloatDistribution",
        "hidden_size": "CategoricalDistribution",
        "seed": "IntDistribution",
    }
    assert space["learning_rate"].low == 1e-4


@pytest.mark.parametrize("name", ["location_sweep", "location_search"])
def test_the_shipped_sweeps_can_be_read_and_say_what_they_take(name):
    path = ROOT / "configs" / "studies" / f"{name}.yaml"
    found = read_sweep(path)
    assert found.task.name == "location" and (len(found.grid) == 6 or found.n_trials > 1)
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert all(word in header for word in (f"world-models sweep {name}", "Hardware:", "Time:", "Result:"))


def test_names_of_folders_are_kept_apart():
    texts = ["a=1", "a/b", "a_b", "..", ".", "", "x" * 300, "x" * 301, "é", "a b", "-"]
    names = [folder_name(text) for text in texts]
    assert len(set(names)) == len(texts) and names[0] == "a=1"
    assert all(Path(name).name == name and len(name.encode()) < 120 and not name.startswith(".") for name in names)


def test_without_an_evaluated_split_there_is_nothing_to_compare(tmp_path):
    (tmp_path / "results.json").write_text('{"final_test_loss": 1, "final_test_haversine_km_mean": 2}')
    path = tmp_path / "x.yaml"
    path.write_text(SEARCH)
    with refusal("test"):
        split_of(tmp_path, read_sweep(path))
