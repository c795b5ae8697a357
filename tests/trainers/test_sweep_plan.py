"""Sweeps: what is written down, and what is refused before anything is trained."""

from pathlib import Path

import pytest

from tests.helpers import ROOT, assert_one_line
from trainers.commands import sweep
from trainers.errors import UserError
from trainers.folders.command_folder import folder_name
from trainers.studies import child_runs
from trainers.studies.sweep_plan import read_sweep
from trainers.studies.sweep_runs import split_of

from .sweep_helpers import GRID, SEARCH


@pytest.mark.parametrize(
    "text, fragment",
    [
        ("", "is no study"),
        ("- a\n", "is no study"),
        ("grid: [1\n", "is no study"),
        ("config: Zürich}\n".encode("latin-1"), "is no study"),
        ("config: location\n", "is no sweep"),
        (GRID + SEARCH.replace("task: location", ""), "is no sweep"),
        (GRID.replace("config: location", ""), "is no sweep"),
        (GRID + "task: location\n", "is no sweep"),
        (GRID.replace("config: location", "config: locatoin"), "there is no config 'locatoin'"),
        (SEARCH.replace("task: location", "task: locatoin"), "Did you mean location"),
        (GRID.replace("grid:", "grids:"), "unknown key 'grids'. Did you mean grid"),
        (GRID + "n_trials: 3\n", "`n_trials` belongs to `search`"),
        (SEARCH.replace("n_trials: 5", ""), "`n_trials` belongs to `search`"),
        (SEARCH.replace("n_trials: 5", "n_trials: 0"), "n_trials is 0"),
        (SEARCH.replace("n_trials: 5", "n_trials: many"), "n_trials is 'many'"),
        (GRID.replace("hidden_size", "hiden_size"), "unknown setting 'hiden_size'"),
        (GRID.replace("n_cities: 40", "cities: 40"), "unknown setting 'cities'"),
        (SEARCH.replace("hidden_size", "hiden_size"), "unknown setting 'hiden_size'"),
        (GRID.replace("n_cities: 40", "hidden_size: 40"), "hidden_size is among the common flags and swept too"),
        (GRID.replace("n_cities: 40", "output_dir: x"), "output_dir cannot be among the flags"),
        (GRID.replace("hidden_size:", "overwrite:"), "overwrite cannot be among the flags"),
        (GRID.replace("[16, 32]", "16"), "expected a list of values, each once"),
        (GRID.replace("[16, 32]", "[]"), "expected a list of values, each once"),
        (GRID.replace("[16, 32]", "[16, 16]"), "expected a list of values, each once"),
        (GRID.replace("[16, 32]", "[16, null]"), "expected a list of values, each once"),
        (GRID.partition("grid:")[0] + "grid: {}\n", "`grid` is {}, expected flags by name"),
        (GRID.replace("flags: {n_cities: 40", "flags: [{n_cities: 40").replace("1}}", "1}}]"), "`flags` is"),
        (SEARCH.replace("{low: 1, high: 9}", "5"), "seed is 5 in `search`"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1}"), "(it has low)"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 9, high: 1}"), "seed is"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: ten}"), "could not convert"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: .inf}"), "no finite number"),
        (SEARCH.replace("{low: 1, high: 9}", "{low: 1, high: 9, lgo: true}"), "lgo"),
        (SEARCH.replace("{low: 1e-4, high", "{low: 0, high"), "learning_rate is"),
        (SEARCH.replace("log: true", "log: 3"), "log is 3"),
        (SEARCH.replace("log: true", "log: true, step: 1e-3"), "learning_rate is"),
        (SEARCH.replace("[16, 32]", "[]"), "hidden_size is"),
        (SEARCH.replace("[16, 32]", "[[16], 32]"), "choices are a list of texts and numbers"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line_before_anything_is_trained(swept, prefix, capsys, text, fragment):
    swept(text, None, code=2)
    assert_one_line(capsys.readouterr().err, fragment)
    assert not (prefix / "sweeps").exists()


@pytest.mark.parametrize(
    "argv, fragment",
    [
        (["--study", "nowhere"], "there is no study 'nowhere'"),
        (["--stdy", "x"], "Did you mean study"),
        (["--storage", "sqlite:///x.db"], "is a grid; leave it out"),
        (["--output_dir", "/tmp"], "outside EXP_DIR_PREFIX"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(argv, fragment, prefix, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)
    assert sweep.main(argv) == 2
    assert_one_line(capsys.readouterr().err, fragment)


def test_a_folder_of_something_else_is_left_alone(swept, prefix, capsys):
    (prefix / "precious").mkdir()
    (prefix / "precious" / "file").touch()
    swept(GRID, None, "--output_dir", str(prefix / "precious"), code=2)
    assert "is in use for something else" in capsys.readouterr().err
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
    assert all(word in header for word in (f"trainers.commands.sweep --study {name}", "Hardware:", "Time:", "Result:"))


def test_names_of_folders_are_kept_apart():
    texts = ["a=1", "a/b", "a_b", "..", ".", "", "x" * 300, "x" * 301, "é", "a b", "-"]
    names = [folder_name(text) for text in texts]
    assert len(set(names)) == len(texts) and names[0] == "a=1"
    assert all(Path(name).name == name and len(name.encode()) < 120 and not name.startswith(".") for name in names)


def test_without_an_evaluated_split_there_is_nothing_to_compare(tmp_path):
    (tmp_path / "results.json").write_text('{"final_test_loss": 1, "final_test_haversine_km_mean": 2}')
    path = tmp_path / "x.yaml"
    path.write_text(SEARCH)
    with pytest.raises(UserError, match="no evaluated split but test"):
        split_of(tmp_path, read_sweep(path))
