"""Unsupervised views: formulas against other sources and closed forms, planted and shuffled representations."""

import json
import shutil

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from tasks.geography.views import components, resampling, shape
from tasks.geography.views.alignment import (
    debiased_cka,
    mutual_neighbours,
    neighbours_of,
    permuted_neighbours,
)
from tasks.geography.views.likeness import Represented, compare_all, matrices_of
from tests.helpers import assert_one_line, refusal
from trainers.commands import probe
from trainers.probes.probe import linear_cka

from ..probe_helpers import real_cities
from .view_helpers import Untouched, linear_states, planted, unit


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# --- shape


@pytest.mark.parametrize("points, dimension", [(unit(real_cities(3000)), 2), (gaussian(3000, 5), 5)])
def test_two_nn_finds_the_dimension(points, dimension):
    wide = points @ gaussian(points.shape[1], 20)
    value, low, high = shape.two_nn(shape.log_ratios(wide))
    assert low < value < high and value == pytest.approx(dimension, rel=0.1)
    assert shape.two_nn(shape.log_ratios(wide, parts=4))[0] == pytest.approx(dimension, rel=0.15)


def test_two_nn_is_the_formula_by_brute_force_and_leaves_out_twins():
    points = gaussian(50, 3)
    apart = np.sort(np.linalg.norm(points[:, None] - points, axis=-1), axis=1)
    assert shape.two_nn(shape.log_ratios(points))[0] == pytest.approx(49 / np.log(apart[:, 2] / apart[:, 1]).sum())
    assert len(shape.log_ratios(np.concatenate([points, points[:2]]))) == 48 and np.isnan(shape.two_nn(np.zeros(0))[0])


def test_the_participation_ratio_is_the_number_of_equal_directions():
    assert shape.participation_ratio(gaussian(20_000, 7)) == pytest.approx(7, rel=0.02)
    values = np.linalg.eigvalsh(np.cov(gaussian(40, 6, 1), rowvar=False))
    assert shape.participation_ratio(gaussian(40, 6, 1)) == pytest.approx(values.sum() ** 2 / (values**2).sum())


def test_components_are_scikit_learns():
    points = gaussian(200, 6) * [5, 4, 3, 2, 1, 0.5]
    scores, shares = shape.principal_components(points)
    theirs = PCA().fit(points)
    assert np.allclose(shares, theirs.explained_variance_ratio_)
    assert np.allclose(np.abs(scores), np.abs(theirs.transform(points)))


def test_what_places_explain_is_scikit_learns_r2():
    true, targets = unit(real_cities(100)), gaussian(100, 4) + unit(real_cities(100))[:, [0]]
    for column, found in enumerate(shape.r2_of(targets, true)):
        assert found == pytest.approx(LinearRegression().fit(true, targets[:, column]).score(true, targets[:, column]))
    assert shape.r2_of((true[:, :1] * true[:, 1:2]), true, 2) == pytest.approx([1])


def test_a_globe_has_no_disparity_and_cities_at_random_have_all_of_it():
    true = unit(real_cities(2000))
    turn = np.linalg.qr(gaussian(3, 3))[0]
    assert shape.disparity(3 * true @ turn + 7, true) == pytest.approx(0, abs=1e-9)
    assert shape.permuted_disparities(true, true, 5, 0).min() > 0.98
    assert shape.disparity(np.zeros((2000, 3)), true) == 1


def test_the_jackknifes_interval_is_that_of_a_mean():
    values = gaussian(400, 1)[:, 0]
    low, high = resampling.jackknife(lambda rows: float(values[rows].mean()), 400)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(2.09 * values.std(ddof=1) / 20, rel=0.4)


# --- likeness


def kernel_hsic(x, y):
    """The U-statistic by its formula over all different quadruples (Song et al. 2012, eq. 4)."""
    from itertools import permutations

    k, m = x @ x.T, y @ y.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(x)), 4)]
    return np.mean(terms)


def test_debiased_cka_is_the_mean_over_quadruples():
    x, y = gaussian(9, 4), gaussian(9, 3, 1) + gaussian(9, 4)[:, :3]
    expected = kernel_hsic(x, y) / np.sqrt(kernel_hsic(x, x) * kernel_hsic(y, y))
    assert debiased_cka(x, y) == pytest.approx(expected)


def test_debiased_cka_of_unrelated_features_is_0_where_the_usual_one_is_large():
    pairs = [(gaussian(60, 200, seed), gaussian(60, 200, seed + 99)) for seed in range(10)]
    assert abs(np.mean([debiased_cka(*pair) for pair in pairs])) < 0.03
    assert np.mean([linear_cka(*pair) for pair in pairs]) > 0.7


def test_with_many_things_debiased_cka_is_the_usual_one_blind_to_rotation_and_scale():
    x = gaussian(20_000, 4) * [3, 2, 1, 1]
    y = x[:, :2] @ gaussian(2, 5) + gaussian(20_000, 5, 1)
    assert debiased_cka(x, y) == pytest.approx(linear_cka(x, y), abs=2e-3)
    turn = np.linalg.qr(gaussian(5, 5))[0]
    assert debiased_cka(x, 7 * y @ turn + 3) == pytest.approx(debiased_cka(x, y))
    assert debiased_cka(x, x) == pytest.approx(1) and debiased_cka(x, np.zeros((20_000, 2))) == 0


def test_mutual_neighbours_are_those_of_brute_force():
    x, y, k = gaussian(40, 5), gaussian(40, 5, 1) + gaussian(40, 5), 6

    def nearest(z):
        cosine = (z @ z.T) / np.outer(*[np.linalg.norm(z, axis=1)] * 2)
        np.fill_diagonal(cosine, -2)
        return [set(row) for row in np.argsort(-cosine)[:, :k].tolist()]

    expected = [len(a & b) / k for a, b in zip(nearest(x), nearest(y), strict=True)]
    assert mutual_neighbours(neighbours_of(x, k), neighbours_of(y, k)).tolist() == pytest.approx(expected)


def test_permuted_cities_share_neighbours_by_chance():
    x, rng = neighbours_of(gaussian(300, 5), 10), np.random.default_rng(0)
    order = rng.permutation(300)
    again = neighbours_of(gaussian(300, 5)[np.argsort(order)], 10)
    assert [set(a) for a in permuted_neighbours(x, order).tolist()] == [set(a) for a in again.tolist()]
    shares = [mutual_neighbours(x, permuted_neighbours(x, rng.permutation(300))).mean() for _ in range(50)]
    assert np.mean(shares) == pytest.approx(10 / 299, rel=0.05)


def test_a_matrix_of_runs_matches_cities_by_their_numbers():
    x, order = gaussian(80, 6), np.random.default_rng(1).permutation(80)
    known = {
        "a": Represented(np.arange(80), x),
        "turned": Represented(order[:70], (x @ np.linalg.qr(gaussian(6, 6))[0])[order[:70]]),
        "noise": Represented(np.arange(80), gaussian(80, 6, 3)),
    }
    rows = compare_all(known, 5, 20, 0)
    found = matrices_of(rows, list(known))
    assert {row["n"] for row in rows} == {70} and set(found) == {"mutual k-NN", "debiased linear CKA"}
    for matrix in found.values():
        assert matrix[0, 1] == matrix[1, 0] == pytest.approx(1) and matrix[0, 2] < 0.3
    assert all(row["permuted"] < 0.2 for row in rows)
    with refusal("--neighbours", "40", "34"):
        compare_all(known, 40, 20, 0)


# --- the view


def looked(folder, monkeypatch, states, n=300, first=None, **options):
    inspected, cities = planted(folder, n, first=first)

    def everywhere(model, *args):
        states_NLTD = gaussian(4 * n, 16, 7).reshape(n, 2, 2, 16)
        states_NLTD[:, 1, 0] = states(cities, model)  # elsewhere is nothing
        return states_NLTD

    monkeypatch.setattr(components, "states_from_last_digit", everywhere)
    chosen = components.ComponentsOptions(permutations=20, **options)
    return components.Components(chosen).look(inspected)


def test_a_planted_globe_appears_and_an_untrained_one_does_not(tmp_path, monkeypatch):
    first = Untouched()

    def states(cities, model):
        return gaussian(len(cities), 16) if model is first else linear_states(cities)

    found = looked(tmp_path, monkeypatch, states, first=first)
    metrics = found.metrics
    for group in ("all", "3_digits", "2_digits"):
        assert metrics[f"disparity_{group}"] == pytest.approx(0, abs=1e-9)
        assert metrics[f"variance_of_three_{group}"] == pytest.approx(1)
        assert metrics[f"ceiling_disparity_{group}"] == pytest.approx(0, abs=1e-9)
        assert metrics[f"untrained_disparity_{group}"] > 0.85
        assert metrics[f"disparity_p_{group}"] == pytest.approx(1 / 21)
    assert metrics["participation_ratio_all"] == pytest.approx(3, rel=0.1)
    assert metrics["two_nn_all"] == pytest.approx(metrics["ceiling_two_nn_all"]) == pytest.approx(2, rel=0.15)
    assert metrics["n_all"] == 300 and metrics["n_2_digits"] == 90 and "n_1_digits" not in metrics
    assert "10 cities are in no group" in found.lines[0]
    assert set(found.figures) == {"components_all.png", "components_2_digits.png", "components_3_digits.png"}
    found.figures["components_all.png"]().savefig("/dev/null", format="png", dpi=20)


def test_shuffled_places_are_no_globe(tmp_path, monkeypatch):
    order = np.random.default_rng(8).permutation(300)
    metrics = looked(tmp_path, monkeypatch, lambda cities, model: linear_states(cities)[order]).metrics
    assert metrics["disparity_all"] > 0.9 and metrics["disparity_p_all"] > 0.05


def test_few_cities_have_no_shape(tmp_path, monkeypatch):
    with refusal("10", "24"):
        looked(tmp_path, monkeypatch, lambda cities, model: linear_states(cities), n=10)


@pytest.fixture
def run(finished_run, tmp_path, prefix):
    marker = json.loads((finished_run / "run.json").read_text())
    folder = shutil.copytree(finished_run, tmp_path / "one")
    (folder / "run.json").write_text(json.dumps({**marker, "mlflow_run_id": None}))
    return folder


def test_the_command_compares_runs(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "two")
    assert probe.main([str(run), "--components", "--with_runs", str(other), "--neighbours", "4"]) == 0
    found = json.loads((run / "probe" / "components" / "view.json").read_text())["metrics"]
    assert found["cka_one_to_two"] == pytest.approx(1) and found["mutual_neighbours_one_to_two"] == 1
    assert found["cka_one_to_one__untrained"] < 1 and found["n_2_digits"] == 30
    written = {path.name for path in (run / "probe" / "components").iterdir()}
    assert written >= {"shape.csv", "components.csv", "likeness.csv", "likeness.png", "components_all.png"}


@pytest.mark.parametrize(
    "typed, names",
    [
        (["--with_runs", "a,,b"], ["--with_runs", "comma"]),
        (["--with_runs", "nowhere"], ["folder"]),
        (["--block", "9"], ["--block", "9"]),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(typed, names, run, capsys):
    assert probe.main([str(run), "--components", *typed]) == 2
    assert_one_line(capsys.readouterr().err, *names)
