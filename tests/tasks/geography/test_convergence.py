"""The convergence study: who is compared with whom, planted likeness, seeds as the unit, runs that did not learn."""

import numpy as np
import pytest
import yaml

from tasks.geography.convergence_report import DISJOINT, ONE_SEED, SAME, UNTRAINED, compare, kind_of
from tasks.geography.convergence_states import Learner, read_learner
from tasks.geography.convergence_table import convergence_figure, learners_text, likeness_text
from tasks.geography.paper_measures import COLUMNS
from tasks.geography.views.alignment import beyond_digits
from trainers.folders.run_folder import RunFolder
from trainers.run import main
from trainers.studies.child_processes import ChildOptions
from trainers.studies.study import report_options, run_study

N, D = 120, 8
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
DATA = {"n_cities": 120, "n_train": 90, "n_val": 10, "n_test": 20}


def learner(name, seed, tasks, states=None, improvement=0.9, ids=None):
    rng = np.random.default_rng([seed, len(name), *map(ord, name)])
    states_LND = np.stack([states] * 2) if states is not None else rng.normal(size=(2, N, D))
    ids = np.arange(N) if ids is None else ids
    return Learner(name, seed, frozenset(tasks), improvement, 0.5, ids, states_LND, rng.normal(size=(2, N, D)))


@pytest.fixture(scope="module")
def places():
    return np.random.default_rng(0).normal(size=(N, D))


def turned(states, seed):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))
    return 3 * states @ rotation + 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("a", 1, "x"), ("b", 2, "y"), DISJOINT),
        (("a", 1, "xy"), ("b", 2, "zw"), DISJOINT),
        (("a", 1, "x"), ("b", 1, "y"), ONE_SEED),
        (("a", 1, "x"), ("a", 2, "x"), SAME),
        (("a", 1, "xy"), ("b", 2, "yz"), None),
        (("a", 1, "x"), ("b", 2, "yz"), None),
        (("a", 1, "x"), ("b", 1, "x"), None),
    ],
)
def test_pairs_have_as_many_tasks_none_in_common_or_the_same_tasks_and_another_seed(one, other, expected):
    assert kind_of(learner(*one), learner(*other)) == kind_of(learner(*other), learner(*one)) == expected


def test_a_turned_map_is_the_same_and_permuted_or_untrained_ones_are_not(places):
    one, other = (learner(name, at, name, turned(places, at)) for at, name in enumerate("ab"))
    rows = list(compare([one, other]))
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in (DISJOINT, UNTRAINED)}
    assert [row["block"] for row in by_kind[DISJOINT]] == [1, 2]
    for row in by_kind[DISJOINT]:
        assert row["cka"] == pytest.approx(1, abs=1e-6) and row["cka_biased"] == pytest.approx(1, abs=1e-6)
        assert abs(row["permuted"]) < 0.15 and row["n"] == N
    assert all(abs(row["cka"]) < 0.15 for row in by_kind[UNTRAINED])


def test_cities_are_matched_by_their_numbers(places):
    shuffled = np.random.default_rng(1).permutation(N)
    one, other = learner("a", 1, "x", places), learner("b", 2, "y", places[shuffled], ids=shuffled)
    assert next(compare([one, other]))["cka"] == pytest.approx(1, abs=1e-6)


def test_seeds_are_the_unit_and_runs_that_did_not_learn_stay_in_and_are_counted(places):
    learnt = [learner(name, seed, name, turned(places, seed)) for seed in (1, 2) for name in "ab"]
    failed = [learner(name, seed, name, improvement=0.1) for seed in (1, 2) for name in "c"]
    rows = list(compare([*learnt, *failed]))
    text = likeness_text(rows)
    line = next(line for line in text.splitlines() if line.startswith(DISJOINT))
    ends = [float(cell) for cell in line.replace("[", " ").replace("]", " ").replace(",", " ").split() if "." in cell]
    assert ends[0] < 0.6  # all: two of the three pairs of each seed have nothing in common
    assert "1.000 [1.000, 1.000]" in line  # of those that learnt
    assert "means over n seeds, 2 at most" in text
    known = [of.summary for of in [*learnt, *failed]]
    assert {*COLUMNS["likeness.csv"]} <= {*rows[0]} and {*COLUMNS["learners.csv"]} <= {*known[0]}
    states = {f"{of.name}-{of.seed}": "finished" for of in [*learnt, *failed]} | {"d-1": "failed (exit code 1)"}
    assert "6 of 7 runs finished, 4 of these learnt their tasks" in learners_text(known, states)


def test_likeness_beyond_digits_is_that_of_the_map_however_alike_digits_make_states():
    ids, rng = np.arange(100, 300), np.random.default_rng(2)
    digit_N3 = np.array([list(str(city)) for city in ids]).astype(int)
    basis = beyond_digits(ids)
    assert basis.shape == (200, 81)  # (2 - 1) (10 - 1) (10 - 1): what all three digits decide together
    assert np.allclose(basis.T @ basis, np.eye(81))

    def of_digits(first, second):  # the same in all models: any function of two digits
        return np.random.default_rng(5).normal(size=(10, 10, D))[digit_N3[:, first], digit_N3[:, second]]

    digits = 3 * of_digits(0, 1) + 3 * of_digits(1, 2) + 3 * of_digits(0, 2)
    world, other_world, noise = rng.normal(size=(3, 200, D))

    def both(one, other):
        found = compare([learner("a", 1, "x", one, ids=ids), learner("b", 2, "y", other, ids=ids)])
        return next(row for row in found if row["kind"] == DISJOINT)

    same_map, digits_alone = both(world + digits, turned(world, 1) + digits), both(world + digits, other_world + digits)
    assert digits_alone["cka"] > 0.9 and abs(digits_alone["cka_beyond_digits"]) < 0.15
    assert same_map["cka_beyond_digits"] == pytest.approx(1, abs=1e-6)
    assert 0.5 < both(world + digits, world + noise + digits)["cka_beyond_digits"] < 0.9
    assert "cka_beyond_digits, all" in likeness_text([same_map])


def test_where_two_digits_are_the_number_nothing_is_beyond_them(places):
    assert beyond_digits(np.arange(10, 100)).shape == (90, 0)
    ids = np.arange(N) % 90 + 10
    row = next(compare([learner("a", 1, "x", places, ids=ids), learner("b", 2, "y", places, ids=ids)]))
    assert np.isnan(row["cka_beyond_digits"])


def test_nothing_to_compare_is_said():
    assert "no two runs" in likeness_text([])


def test_the_figure_has_a_line_for_every_kind_and_number_of_tasks(places):
    rows = list(compare([learner(name, seed, name, places) for seed in (1, 2) for name in "ab"]))
    labels = convergence_figure(rows).axes[0].get_legend_handles_labels()[1]
    assert labels == [f"{kind}, 1 task each" for kind in (SAME, ONE_SEED, DISJOINT, UNTRAINED)]


@pytest.fixture
def flags():
    return {**SIZES, **DATA, "max_steps": 2, "use_cpu": True, "eval_steps": 2}


def test_a_run_is_read_with_its_states_of_cities_whose_numbers_are_equally_long(prefix, flags):
    argv = [f"--{name}={value}" for name, value in flags.items()]
    assert main(["--task", "angle,distance", *argv, "--output_dir", str(prefix / "run")]) == 0
    some, all_cities = (read_learner("both", 1, RunFolder(prefix / "run"), everything) for everything in (False, True))
    assert some.tasks == {"angle", "distance"} and some.seed == 1 and not some.is_learnt
    assert len(all_cities.city_id) == 120 and set(some.city_id) == set(range(10, 100))
    assert some.states_LND.shape == some.untrained_LND.shape == (2, 90, 2 * 16)
    assert np.array_equal(all_cities.states_LND[:, 10:100], some.states_LND)
    assert not np.array_equal(some.states_LND, some.untrained_LND)


@pytest.mark.slow
def test_a_study_trains_compares_and_goes_on(prefix, flags, tmp_path, capsys):
    runs = {name: {"config": "questions_small", "task": name, **flags} for name in ("angle", "compass")}
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump({"report": "convergence", "seeds": [1, 2], "runs": runs}))
    for _ in range(2):
        run_study(str(path), str(prefix / "study"), ChildOptions(), report_options(str(path))())
        assert "4 of 4 runs finished" in capsys.readouterr().out
    assert {"learners.csv", "likeness.csv", "convergence.png"} <= {of.name for of in (prefix / "study").iterdir()}
