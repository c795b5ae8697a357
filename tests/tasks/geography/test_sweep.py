"""The sweep over blocks and tokens: planted maps are found where they are, and nothing where there is none."""

import io
import json
import shutil

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from tasks.geography.linear_maps import ALPHAS, kernel_vectors, linear_vectors, r2
from tasks.geography.views.sweep import sweep, token_names
from tasks.geography.views.sweep_report import SweptCities
from trainers.commands import probe as command

from .probe_helpers import COUNTRY_OF, dist_km, linear_world, places_deg, real_cities, vectors_of

TOKENS = ["1 before", "last digit", ","]


def swept_cities(n, seed=0):
    cities = real_cities(n, seed)
    order = np.random.default_rng(1).permutation(n)
    train, choose, report = order[: n // 2], order[n // 2 : 3 * n // 4], order[3 * n // 4 :]
    return SweptCities(places_deg(cities), np.array([COUNTRY_OF[c] for c in cities.country]), train, choose, report)


def planted(features_ND, cell=(2, 1), blocks=3):
    """Noise at every block and token but one."""
    states = np.random.default_rng(3).normal(size=(len(features_ND), blocks, len(TOKENS), features_ND.shape[1]))
    states[:, *cell] = features_ND
    return states


@pytest.fixture(scope="module")
def found():
    cities = swept_cities(400)
    states = planted(linear_world(cities.places_deg, width=8))
    untrained = np.random.default_rng(4).normal(size=states.shape)
    return cities, states, sweep({"trained": states, "untrained": untrained}, cities, TOKENS, seed=0)


def test_a_planted_linear_map_is_found_where_it_is_and_read_in_full(found):
    _, _, result = found
    metrics = result.metrics
    assert (metrics["block"], metrics["token"]) == (2, -2)
    assert metrics["r2"] > 0.9999 and metrics["error_km_mean"] < 1
    assert metrics["selectivity"] > 0.95 and metrics["kernel_minus_linear_km"] > 0
    assert (metrics["n_train"], metrics["n_choose"], metrics["n_report"]) == (200, 100, 100)


def test_controls_find_nothing(found):
    _, _, result = found
    metrics = result.metrics
    for control in ("untrained", "shuffled"):
        assert metrics[f"{control}_r2"] < 0.05
        assert metrics[f"{control}_error_km_mean"] > 0.9 * metrics["baseline_error_km_mean"]
    assert abs(metrics["last_token_r2"]) < 0.05  # noise stands there


def test_every_interval_holds_its_mean(found):
    _, _, result = found
    stated = [name for name in result.metrics if f"{name}_from" in result.metrics]
    assert {"error_km_mean", "r2", "selectivity", "kernel_minus_linear_km", "untrained_r2"} <= set(stated)
    for name in stated:
        low, high = result.metrics[f"{name}_from"], result.metrics[f"{name}_to"]
        assert low <= result.metrics[name] <= high, name


def test_the_table_has_every_block_and_token_and_states_scikit_learns_r2(found):
    cities, states, result = found
    rows = result.tables["sweep"]
    assert [(row["block"], row["token"]) for row in rows] == [(b, t) for b in range(3) for t in TOKENS]
    true_N3, features_NF = vectors_of(cities.places_deg), states[:, 1, 2]
    ridge = RidgeCV(ALPHAS).fit(features_NF[cities.train], true_N3[cities.train])
    expected = r2_score(
        true_N3[cities.report], ridge.predict(features_NF[cities.report]), multioutput="variance_weighted"
    )
    row = next(row for row in rows if (row["block"], row["token"]) == (1, ","))
    assert row["trained_report_r2"] == pytest.approx(expected, abs=0.01)


def test_the_choice_does_not_look_at_what_is_reported():
    """The map at one cell is right for the half that is reported only: the other cell must be chosen."""
    cities = swept_cities(300)
    features_ND = linear_world(cities.places_deg, width=8)
    noisy_ND = features_ND + np.random.default_rng(5).normal(0, 0.3, features_ND.shape)
    for_report_ND = features_ND.copy()
    for_report_ND[cities.choose] = 0
    states = planted(noisy_ND)
    states[:, 0, 0] = for_report_ND
    metrics = sweep({"trained": states}, cities, TOKENS, seed=0).metrics
    assert (metrics["block"], metrics["token"]) == (2, -2) and metrics["error_km_mean"] > 100
    assert not any(name.startswith("untrained") for name in metrics)


def test_a_bent_map_is_read_better_by_the_kernel():
    cities = swept_cities(600)
    bent_ND = np.tanh(1.5 * (vectors_of(cities.places_deg) @ np.random.default_rng(6).normal(size=(3, 6))))
    metrics = sweep({"trained": planted(bent_ND)}, cities, TOKENS, seed=0).metrics
    assert metrics["kernel_error_km_mean"] < 0.7 * metrics["error_km_mean"]
    assert metrics["kernel_minus_linear_km_to"] < 0


def test_a_continent_whose_map_lies_elsewhere_is_read_only_by_the_fit_that_saw_it():
    """Places of Asia stand in other numbers of the states than all others."""
    cities = swept_cities(500)
    is_asian = cities.continents == "Asia"
    features_ND = vectors_of(cities.places_deg)
    apart_ND = np.concatenate([features_ND * ~is_asian[:, None], features_ND * is_asian[:, None]], axis=1)
    result = sweep({"trained": planted(apart_ND)}, cities, TOKENS, seed=0)
    rows = {row["continent"]: row for row in result.tables["continents"]}
    assert set(rows) == set(cities.continents)
    assert sum(row["n"] for row in rows.values()) == 125
    for name, row in rows.items():
        assert row["n"] == (cities.continents[cities.report] == name).sum() and row["seen_km"] < 1
        assert (row["held_out_km"] > 1_000) == (name == "Asia")


def test_a_world_of_one_continent_has_no_other_to_fit_on():
    cities = swept_cities(60)
    cities.continents[:] = "Asia"
    states = planted(linear_world(cities.places_deg, width=8))
    result = sweep({"trained": states}, cities, TOKENS, seed=0)
    (row,) = result.tables["continents"]
    assert row["held_out_km"] is None and "held_out_km_Asia" not in result.metrics
    assert np.isfinite(list(result.metrics.values())).all()


def test_a_fit_knows_nothing_of_the_cities_it_predicts():
    cities = swept_cities(200)
    states = np.random.default_rng(8).normal(size=(200, 5))
    changed_deg = cities.places_deg.copy()
    changed_deg[cities.report] = (0.0, 0.0)
    for fit in (
        lambda deg: linear_vectors(states, deg, cities.train),
        lambda deg: kernel_vectors(states, deg, cities.train, 0),
    ):
        np.testing.assert_array_equal(fit(cities.places_deg), fit(changed_deg))


def test_r2_of_the_mean_is_0_and_of_the_truth_1():
    deg_N2 = places_deg(real_cities(50))
    true_N3 = vectors_of(deg_N2)
    assert r2(true_N3, deg_N2) == pytest.approx(1)
    assert r2(np.tile(true_N3.mean(axis=0), (50, 1)), deg_N2) == pytest.approx(0, abs=1e-12)


def test_the_figures_show_every_number(found):
    _, _, result = found
    heat, bars = (result.figures[name]() for name in ("sweep.png", "continents.png"))
    assert len(heat.axes) == 4 and all(len(axes.texts) == 9 for axes in heat.axes)
    assert {text.get_text() for text in heat.axes[1].texts} >= {"1.00"}
    assert len(bars.axes[0].get_yticklabels()) == len(result.tables["continents"])
    for figure in (heat, bars):
        figure.savefig(io.BytesIO(), dpi=30)


def test_tokens_are_named_from_the_first_digit_of_the_longest_number_to_the_end(probe_of):
    assert token_names(probe_of(real_cities(200))) == ["2 before", "1 before", "last digit", ",", "c", "_"]
    assert token_names(probe_of(real_cities(20), task="location")) == ["1 before", "last digit", ")", "="]


def test_the_probe_can_read_the_last_digit(probe_of):
    probe = probe_of(real_cities(30), read="id")
    assert probe.tokens == 4 and probe.label == "clean-read_id"
    assert {prompt[-probe.tokens] for prompt in probe.prompts} <= set("0123456789")
    cities = real_cities(300)
    features_ND = linear_world(places_deg(cities))
    states = np.random.default_rng(0).normal(size=(300, 1, 4, 16))
    states[:, :, 0] = features_ND[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainers.probes.probe.extract_hidden_states", lambda *args: states)
        probe = probe_of(cities, read="id")
        decoded = probe.fit(probe.states(None)).decoded
    assert dist_km(decoded, places_deg(cities)).max() < 5


def test_the_command_sweeps_a_run(finished_run, tmp_path, prefix, capsys):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    assert command.main([str(folder), "--sweep"]) == 0
    written = folder / "probe" / "sweep"
    assert {path.name for path in written.iterdir()} == {
        "view.json",
        "sweep.csv",
        "continents.csv",
        "sweep.png",
        "continents.png",
    }
    noted = json.loads((written / "view.json").read_text())
    assert noted["metrics"]["n_report"] == 8 and "untrained_r2" in noted["metrics"]
    assert "untrained model where it is best" in capsys.readouterr().out
