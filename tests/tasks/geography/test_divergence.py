"""The divergence study: normalised improvement by hand, the table over seeds, and a tiny study from nothing."""

from itertools import combinations

import numpy as np
import pytest
import yaml

from geo.sphere import unit_vectors
from tasks.geography.divergence_map import map_table, measure_map, read_maps, split
from tasks.geography.divergence_report import divergence_figure, measure, role_of, table
from tasks.geography.paper_measures import COLUMNS
from tests.helpers import ROOT, refusal
from tests.tasks.geography.probe_helpers import as_states, dist_km, linear_world, places_deg, with_atlantis
from trainers.folders.run_folder import RunFolder
from trainers.run import main
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study import report_options, run_study

STUDIES = ROOT / "configs" / "studies"
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
WORLD = {"n_cities": 40, "n_train": 90, "n_val": 10, "n_test": 20, "max_steps": 2, "eval_steps": 2, "use_cpu": True}
TAUGHT = {**SIZES, **WORLD, "n_atlantis": 10, "regions": "35,-35"}


def row(run, seed, asked, improvement, taught=False, real_ratio=2.0, elicited=False):
    return {
        **{"run": run, "seed": seed, "asked": asked, "taught": taught, "elicited": elicited, "share": 0.0},
        **{"improvement": improvement, "real_ratio": real_ratio},
    }


def test_the_table_marks_what_was_taught_and_means_the_others_over_seeds():
    rows = [
        row("angle", seed, asked, value + 0.1 * seed, asked == "angle")
        for seed in (1, 2)
        for asked, value in {"angle": 0.8, "compass": 0.1, "inside": 0.3}.items()
    ]
    text = table(rows)
    line = next(line for line in text.splitlines() if line.startswith("angle"))
    assert "0.95 [0.31, 1.59]*" in line and "0.35 [-0.29, 0.99]" in line and "2.00 [2.00, 2.00]" in line
    assert "means over n seeds, 2 at most" in text
    assert "one run of every model" in table([row("angle", None, "angle", 1.0, taught=True)])


def test_a_question_with_elicitation_rows_alone_is_one_of_the_others():
    rows = [row("angle", 1, "angle", 0.9, taught=True), row("angle", 1, "compass", 0.4, elicited=True)]
    line = next(line for line in table(rows).splitlines() if line.startswith("angle"))
    assert line.split() == ["angle", "0.90*", "0.40+", "0.40", "2.00"]


@pytest.mark.parametrize(
    ("shares", "roles"), [([1, 0, 0], "taught none none"), ([1, 1, 0], "taught taught none"), ([400, 1], "taught few")]
)
def test_a_run_teaches_by_the_questions_that_most_of_its_rows_are_of(shares, roles):
    names = {(True, False): "taught", (False, True): "few", (False, False): "none"}
    found = [role_of(share, shares) for share in shares]
    assert [names[role["taught"], role["elicited"]] for role in found] == roles.split()


@pytest.fixture(scope="module")
def planted():
    """A world of 120 real and 40 new cities, and its split."""
    cities = with_atlantis(120, 40)
    return cities, split(cities, RunFolder("nowhere"))


def moved(cities, places, rows, deg):
    """States of the base, in which the rows are where other places would be."""
    changed = places_deg(cities).copy()
    changed[rows] = deg
    return linear_world(changed)


def test_the_split_keeps_apart_what_is_fitted_decoded_and_new(planted):
    _, places = planted
    assert set(places.new) == set(range(120, 160)) and len(places.fitted) == 72
    assert not set(places.fitted) & set(places.held_out)
    assert set(places.fitted) | set(places.held_out) == set(range(120))


def test_new_cities_that_are_put_into_the_old_map_are_found_by_it(planted):
    cities, places = planted
    scattered = np.random.default_rng(3).uniform((-80, -180), (80, 180), (40, 2))
    before = as_states(moved(cities, places, places.new, scattered), blocks=3, block=1)
    found = read_maps(before, as_states(linear_world(places_deg(cities)), blocks=3, block=1), cities, places)
    expected = dist_km(scattered, places_deg(cities)[places.new]).mean()
    assert (found["block"], found["token"], found["n_new"]) == (2, 0, 40)
    assert found["new_before_km"] == pytest.approx(expected, rel=0.02)
    assert max(found[f"new_{name}_km"] for name in ("after", "refitted", "alone")) < 30
    assert max(found[f"real_{name}_km"] for name in ("before", "after", "refitted")) < 30


def test_new_cities_elsewhere_than_the_old_map_has_them_are_found_by_a_map_of_theirs_alone(planted):
    cities, places = planted
    after = linear_world(places_deg(cities))
    after[places.new] = linear_world(places_deg(cities), seed=8)[places.new]
    found = read_maps(as_states(linear_world(places_deg(cities))), as_states(after), cities, places)
    assert found["new_alone_km"] < 30 and found["real_after_km"] < 30
    assert min(found["new_after_km"], found["new_refitted_km"]) > 1_000


def test_a_real_map_that_has_moved_is_found_by_fitting_again(planted):
    cities, places = planted
    before, after = (as_states(linear_world(places_deg(cities), seed=seed)) for seed in (5, 6))
    found = read_maps(before, after, cities, places)
    assert found["real_refitted_km"] < 30 and found["new_refitted_km"] < 30
    assert found["real_after_km"] > 1_000


def test_the_mean_place_and_the_middle_are_those_of_states_without_meaning(planted):
    cities, places = planted
    found = read_maps(*[as_states(linear_world(places_deg(cities)))] * 2, cities, places)
    true_N3 = unit_vectors(cities.lat_deg, cities.lon_deg)
    mean_place = true_N3[places.fitted].mean(axis=0)
    lat, lon = np.degrees([np.arcsin(mean_place[2] / np.linalg.norm(mean_place)), np.arctan2(*mean_place[[1, 0]])])
    new = places_deg(cities)[places.new]
    assert found["new_mean_place_km"] == pytest.approx(dist_km(np.tile([lat, lon], (40, 1)), new).mean(), rel=1e-6)
    assert found["new_middle_km"] == pytest.approx(dist_km(np.tile([35.0, -35.0], (40, 1)), new).mean(), rel=0.15)


def test_a_world_without_new_cities_is_refused():
    with refusal("nowhere", "4", "--n_atlantis"):
        split(with_atlantis(50, 4), RunFolder("nowhere"))


def test_the_table_of_maps_has_a_line_for_every_run_and_what_bounds_it():
    names = ("before", "after", "refitted", "alone", "mean_place", "middle")
    known = {f"new_{name}_km": 1000.0 * at for at, name in enumerate(names, start=1)}
    rows = [{"run": "angle", "seed": seed, **known, "real_before_km": 300.0, "real_after_km": 400.0} for seed in (1, 2)]
    line, *below = map_table(rows).splitlines()[1:]
    numbers = [cell for cell in line.split() if "[" not in cell and "]" not in cell]
    assert numbers == ["angle", "2,000", "3,000", "4,000", "400"]
    bounds = "before, new 1,000; real 300; mean place of the real cities 5,000; middle of the other new ones 6,000"
    assert below[1] == bounds


def test_the_figure_has_a_row_for_every_run_and_a_column_for_every_question():
    axes = divergence_figure([row(run, 1, asked, 0.5) for run in ("a", "b") for asked in ("x", "y", "z")]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert len(axes.texts) == 6


def test_the_pairs_are_all_pairs_of_the_questions_and_nothing_else_differs_from_the_singles():
    singles, pairs = (yaml.safe_load((STUDIES / f"divergence_{name}.yaml").read_text()) for name in ("small", "pairs"))
    assert pairs["base"] == singles["base"]
    ends = [{**flags, "mix": None} for flags in (*pairs["runs"].values(), singles["runs"]["distance"])]
    assert all(end == ends[0] for end in ends)
    taught = [tuple(np.flatnonzero([int(n) for n in flags["mix"].split(":")])) for flags in pairs["runs"].values()]
    assert sorted(taught) == list(combinations(range(7), 2))
    assert {flags["mix"].count("1") for flags in pairs["runs"].values()} == {2}


@pytest.fixture
def base(prefix):
    argv = [f"--{name}={value}" for name, value in {**SIZES, **WORLD}.items()]
    assert main(["--task", "distance,angle", *argv, "--output_dir", str(prefix / "base")]) == 0
    return RunFolder(prefix / "base")


def fine_tuned(base, name, **flags):
    argv = [f"--{key}={value}" for key, value in {**TAUGHT, **flags}.items()]
    folder = base.path.with_name(name)
    assert main([*argv, "--init_from", str(base.path), "--output_dir", str(folder)]) == 0
    return RunFolder(folder)


def test_a_run_is_measured_before_and_after_on_new_and_real_cities(base):
    run = fine_tuned(base, "run", task="atlantis_cross,angle", mix="0:1", real_ratio=0.2, learning_rate=1e-9)
    rows = {row["asked"]: row for row in measure("angle", 1, run, base)}
    assert {asked: (row["taught"], row["share"]) for asked, row in rows.items()} == {
        "distance": (False, 0.0),
        "angle": (True, 1.0),
    }
    for name, metric in {"distance": "distance_abs_error_km_mean", "angle": "angle_abs_error_mean"}.items():
        assert rows[name]["real"] == base.results[f"final_test_{metric}"]
        assert rows[name]["real_after"] == pytest.approx(rows[name]["real"])  # nothing was learnt at this rate
        assert rows[name]["before"] == pytest.approx(rows[name]["after"])
        assert {*COLUMNS["divergence.csv"]} <= {*rows[name]}
    found = measure_map("run", 1, run, base)
    assert {*COLUMNS["divergence_map.csv"]} <= {*found}
    assert found["n_new"] == 10 and found["new_before_km"] == pytest.approx(found["new_after_km"], rel=1e-3)


def test_a_base_that_does_not_know_a_question_is_refused_before_any_training(base, tmp_path, prefix):
    path = tmp_path / "few.yaml"
    flags = {"config": "questions_small", **TAUGHT, "task": "angle,compass"}
    path.write_text(yaml.safe_dump({"report": "divergence", "base": flags, "runs": {"compass": flags}}))
    options = report_options(str(path))(base=str(base.path))
    with refusal(str(base.path), "compass", "give another base"):
        run_study(str(path), str(prefix / "study"), ChildOptions(), options)
    assert not (prefix / "study" / "compass").exists()


@pytest.mark.slow
def test_a_study_trains_its_base_and_its_runs_from_it(prefix, tmp_path, capsys):
    flags = {"config": "questions_small", **TAUGHT, "task": "atlantis_cross,angle"}
    study = {
        "report": "divergence",
        "base": {"config": "questions_small", **SIZES, **WORLD, "task": "distance,angle"},
        "runs": {"distance": {**flags, "mix": "1:0"}, "angle": {**flags, "mix": "0:1"}},
    }
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(study))
    for _ in range(2):
        run_study(str(path), str(prefix / "study"), ChildOptions(), report_options(str(path))())
        assert "taught by" in capsys.readouterr().out
    files = {"divergence.csv", "divergence_map.csv", "divergence.txt", "divergence.png"}
    assert files <= {of.name for of in (prefix / "study").iterdir()}
