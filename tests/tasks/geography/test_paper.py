"""The table of published numbers: planted studies, whose means are known, and studies that are missing."""

from itertools import combinations

import numpy as np
import pytest
from datasets import Dataset

from tasks.geography.convergence_report import DISJOINT, SAME, UNTRAINED
from tasks.geography.paper_figures import ALIKE, ASKED, QUESTIONS, TAUGHT, published
from tasks.geography.paper_measures import (
    AbsentError,
    Stored,
    above_singles,
    improvement,
    likeness,
    majority,
    not_learnt,
    of_base,
    of_map,
    of_run,
    pairs_of,
    repeated,
)
from tasks.geography.paper_report import as_markdown, compared
from tests.helpers import refusal
from trainers.common.files import write_csv
from trainers.run import main
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study import describe_study, report_options, run_study

STUDIES = {"convergence": "convergence_small", "divergence": "divergence_small", "pairs": "divergence_pairs"}


def stored(folder):
    return {part: Stored(study, folder / study) for part, study in STUDIES.items()}


def place(folder, part):
    (folder / STUDIES[part]).mkdir(exist_ok=True)
    return folder / STUDIES[part]


def alike(kind, n_tasks, one, other, seed, block, value):
    names = {"kind": kind, "n_tasks": n_tasks, "one": one, "other": other, "seed": seed, "block": block}
    return {**names, "cka": value - 0.1, "cka_biased": value}


def plant_convergence(folder):
    """Likeness at block 5 of 6 is 0.5, for distance and angle 0.7, and 0.02 more with the second seed."""
    rows = [
        alike(kind, 1, one, other, seed, block, (0.7 if other == "angle" else 0.5) + 0.02 * (seed - 1) - (block != 5))
        for kind in (DISJOINT, UNTRAINED)
        for one, other in (("distance", "angle"), ("perimeter", "distance"))
        for seed in (1, 2)
        for block in (4, 5, 6)
    ]
    rows += [alike(SAME, 1, "angle", "angle", 1, block, 0.9) for block in (5, 6)]
    write_csv(place(folder, "convergence") / "likeness.csv", rows)
    learners = [("angle", 1, 0.99, True), ("angle", 2, 0.97, True), ("distance", 1, 0.1, False), ("all", 1, 1.0, False)]
    names = ("name", "seed", "r2", "learnt")
    known = [dict(zip(names, of, strict=True)) for of in learners]
    write_csv(place(folder, "convergence") / "learners.csv", known)


def run_rows(run, seed, taught, improvements, elicited=False):
    return [
        {
            **{"run": run, "seed": seed, "asked": asked, "taught": asked in taught, "real": 0.05 * (at + 1)},
            **{"elicited": elicited and asked not in taught, "improvement": value},
        }
        for at, (asked, value) in enumerate(improvements.items())
    ]


def plant_divergence(folder):
    """Two single runs of two seeds, and one with elicitation rows, about three questions."""
    rows = []
    for seed in (1, 2):
        more = 0.1 * (seed - 1)
        rows += run_rows("d", seed, {"distance"}, {"distance": 0.5 + more, "angle": 0.1 + more, "compass": 0.3 + more})
        rows += run_rows("a", seed, {"angle"}, {"distance": 0.2, "angle": 0.9, "compass": 0.8})
        rows += run_rows("e", seed, {"distance"}, {"distance": 0.4, "angle": 0.6, "compass": 0.6}, elicited=True)
    write_csv(place(folder, "divergence") / "divergence.csv", rows)
    maps = [
        {"run": run, "seed": seed, "new_refitted_km": km + 100 * seed, "real_refitted_km": km / 2}
        for run, km in (("d", 1000.0), ("a", 200.0), ("e", 9000.0))
        for seed in (1, 2)
    ]
    write_csv(place(folder, "divergence") / "divergence_map.csv", maps)


def plant_pairs(folder):
    rows = run_rows("da", 1, {"distance", "angle"}, {"distance": 0.4, "angle": 0.8, "compass": 0.5})
    write_csv(place(folder, "pairs") / "divergence.csv", rows)


@pytest.fixture
def planted(tmp_path):
    for plant in (plant_convergence, plant_divergence, plant_pairs):
        plant(tmp_path)
    return stored(tmp_path)


def values(measure, studies):
    found = measure(studies)
    return found["seeds"], pytest.approx(found["mean"])


def test_likeness_is_that_of_one_kind_at_the_last_block_but_one_with_seeds_as_the_unit(planted):
    assert values(likeness(DISJOINT, 1), planted) == (2, 0.61)
    assert values(likeness(DISJOINT, 1, "cka"), planted) == (2, 0.51)
    assert values(likeness(DISJOINT, 1, pair=("distance", "angle")), planted) == (2, 0.71)
    assert values(likeness(DISJOINT, 1, pair=("distance", "perimeter")), planted) == (2, 0.51)
    assert values(likeness(SAME, 1, pair=("angle",)), planted) == (1, 0.9)


def test_runs_that_did_not_learn_are_a_share_of_the_singles_with_wilsons_interval(planted):
    found = not_learnt(("angle", "distance"))(planted)
    assert (found["seeds"], found["mean"]) == (3, pytest.approx(1 / 3))
    z, n = 1.959964, 3  # E. B. Wilson 1927
    half = z * np.sqrt((1 / 3 * 2 / 3 + z**2 / (4 * n)) / n)
    ends = ((1 / 3 + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert [found["95 % from"], found["95 % to"]] == pytest.approx([*ends], rel=1e-5)
    assert values(of_run("angle", "r2"), planted) == (2, 0.98)


def test_improvement_is_that_of_runs_with_so_many_questions_with_or_without_elicitation(planted):
    assert values(improvement("divergence", 1, True), planted) == (2, 0.725)
    assert values(improvement("divergence", 1, False), planted) == (2, 0.375)
    assert values(improvement("divergence", 1, False, "distance"), planted) == (2, 0.25)
    assert values(improvement("divergence", 1, False, "distance", elicited=True), planted) == (2, 0.6)
    assert values(improvement("pairs", 2, False), planted) == (1, 0.5)


def test_pairs_are_compared_with_the_better_of_their_singles_of_the_same_seed(planted):
    assert values(above_singles(True), planted) == (1, np.mean([0.4 - 0.5, 0.8 - 0.9, 0.5 - 0.8]))
    with pytest.raises(AbsentError, match="divergence_pairs"):
        above_singles(False)(planted)


def test_errors_of_the_base_are_shares_of_choices_and_counted_once_where_seeds_share_it(planted):
    assert values(of_base("angle"), planted) == (1, 0.10)
    assert values(of_base("compass", is_share=True), planted) == (1, 0.85)


def test_maps_are_of_runs_with_or_without_distance_and_without_elicitation(planted):
    assert values(of_map("divergence", "new_refitted_km", 1, True), planted) == (2, 1150)
    assert values(of_map("divergence", "new_refitted_km", 1, False), planted) == (2, 350)
    assert values(of_map("divergence", "new_refitted_km", 1), planted) == (2, 750)
    with pytest.raises(AbsentError, match=r"divergence_pairs has no divergence_map\.csv"):
        of_map("pairs", "new_refitted_km", 2)(planted)


def test_a_table_of_before_is_said_to_lack_a_column(tmp_path):
    rows = [{name: of for name, of in row.items() if name != "elicited"} for row in run_rows("d", 1, {"a"}, {"a": 0.5})]
    write_csv(place(tmp_path, "divergence") / "divergence.csv", rows)
    with pytest.raises(AbsentError, match="divergence_small has no column elicited"):
        improvement("divergence", 1, True)(stored(tmp_path))


def test_a_study_without_seeds_is_one_run(tmp_path):
    rows = run_rows("d", None, {"distance"}, {"distance": 0.5, "angle": 0.1})
    write_csv(place(tmp_path, "divergence") / "divergence.csv", rows)
    assert values(improvement("divergence", 1, False), stored(tmp_path)) == (1, 0.1)


def test_pairs_are_found_again_in_either_order_and_of_their_member_alone():
    rows = Dataset.from_dict({"member": ["a", "a", "b"], "city_a": [1, 7, 1], "city_b": [7, 2, 7]})
    assert np.isin(pairs_of(rows, "b"), pairs_of(rows, "a")).tolist() == [True]
    turned = Dataset.from_dict({"member": ["a", "a"], "city_a": [7, 2], "city_b": [1, 1]})
    assert np.isin(pairs_of(turned, "a"), pairs_of(rows, "a")).tolist() == [True, False]


def test_labels_and_repeated_pairs_are_measured_on_the_runs_own_datasets(prefix, tmp_path):
    plant_divergence(tmp_path)
    sizes = {"n_cities": 40, "n_train": 90, "n_val": 10, "n_test": 20, "hidden_size": 16, "num_hidden_layers": 1}
    more = {"num_attention_heads": 2, "intermediate_size": 16, "max_steps": 1, "eval_steps": 1, "use_cpu": True}
    argv = [f"--{name}={value}" for name, value in (sizes | more).items()]
    folder = prefix / "divergence_small"
    assert main(["--task", "compass,crossing", *argv, "--output_dir", str(folder / "base-1")]) == 0
    (folder / "compass").symlink_to(folder / "base-1")
    write_csv(folder / "divergence.csv", run_rows("d", 1, {"distance"}, {"distance": 0.5}))
    studies = stored(prefix)
    assert values(majority("crossing"), studies) == (1, 0.5)
    found = repeated("compass")(studies)
    assert (found["seeds"], found["mean"]) == (10, 0.0)


def test_the_published_numbers_agree_with_the_means_that_are_published_of_them():
    taught = np.array([*TAUGHT.values()])
    assert [*TAUGHT] == [*ASKED]
    assert np.diag(taught).mean() == pytest.approx(0.838, abs=0.001)
    assert taught[~np.eye(7, dtype=bool)].mean() == pytest.approx(0.474, abs=0.001)
    assert len(ALIKE) == len(QUESTIONS) + len([*combinations(QUESTIONS, 2)])


def test_every_published_number_has_words_on_what_differs_and_a_measure_or_the_reason_why_not(planted):
    rows = [compared(one, planted) for one in published()]
    assert all(row["differs"] and row["published"] for row in rows)
    assert all((row["here"] is None) == bool(row["missing"]) for row in rows)
    by_name = {row["what"]: row for row in rows}
    assert len(by_name) == len(rows)
    lines = as_markdown(rows, planted).splitlines()
    row = next(line for line in lines if line.startswith("| CKA, distance and angle |"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["0.61", "0.71 [0.58, 0.84]", "2"]
    assert by_name["CKA, three questions each"]["missing"].startswith("four questions")
    assert not [line for line in lines if line.startswith("The study")]


def test_the_study_says_in_words_what_is_missing(prefix, capsys):
    (prefix / "studies").mkdir()
    plant_convergence(prefix / "studies")
    place(prefix / "studies", "pairs")
    run_study("paper", None, ChildOptions(), report_options("paper")())
    text = (prefix / "studies" / "paper" / "paper.md").read_text()
    assert text in capsys.readouterr().out
    assert "| CKA, one question each | 0.655 | 0.610 [0.483, 0.737] | 2 |" in text
    assert "The study divergence_small is missing: `world-models study divergence_small`" in text
    assert "The study divergence_pairs is not finished" in text
    assert "| taught by distance: itself | 0.54 | divergence_small has not been run here | - |" in text
    assert "convergence_small is" not in text


def test_a_dry_run_prints_the_runs_of_its_studies(prefix, capsys):
    describe_study("paper", None, ChildOptions(), report_options("paper")())
    lines = capsys.readouterr().out.splitlines()
    for name in ("distance-1", "base", "inside_crossing"):
        assert [line for line in lines if line.startswith(f"{name}: ")]
    assert not [*prefix.glob("studies/*")]


def test_a_study_of_other_parts_is_refused(prefix, tmp_path):
    (tmp_path / "x.yaml").write_text("report: paper\nstudies: {convergence: convergence_small}\n")
    with refusal("x.yaml", "pairs"):
        run_study(str(tmp_path / "x.yaml"), None, ChildOptions(), report_options(str(tmp_path / "x.yaml"))())
