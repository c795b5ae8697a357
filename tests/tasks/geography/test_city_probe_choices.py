"""Which cities the probe is trained and tested on, and what the model is shown."""

import json
from collections import Counter
from copy import deepcopy

import numpy as np
import pytest

from geo.atlantis import invent_cities, join_cities
from geo.cities import Cities
from tasks.geography.city_probe import CityProbeOptions
from tests.helpers import refusal
from trainers.options import check_ranges

from .probe_helpers import COUNTRY_OF, as_states, dist_km, linear_world, places_deg, real_cities, with_atlantis

# --- which cities


@pytest.mark.parametrize(
    "n, n_train, n_test",
    [(10, 6, 4), (101, 60, 41), (4000, 2400, 1600), (5000, 3000, 2000), (5075, 3000, 2000), (7000, 3000, 2000)],
)
def test_train_and_test_have_the_documented_sizes_and_share_no_city(n, n_train, n_test, probe_of):
    probe = probe_of(real_cities(n))
    assert (len(set(probe.train)), len(set(probe.test))) == (len(probe.train), len(probe.test)) == (n_train, n_test)
    assert not set(probe.train) & set(probe.test) and {*probe.train, *probe.test} <= set(range(n))


def test_the_seed_decides_which_cities_are_tested(probe_of):
    cities = real_cities(200)
    first, again, other = (probe_of(cities, probe_seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    np.testing.assert_array_equal(first.train, again.train)
    assert set(first.test) != set(other.test)
    counts = Counter(i for seed in range(60) for i in probe_of(real_cities(50), probe_seed=seed).test.tolist())
    assert set(counts) == set(range(50)) and max(counts.values()) < 45  # 24 expected


@pytest.mark.parametrize("region", ["Africa", "Europe", "JP", "NA", "North America"])
def test_a_region_that_is_held_out_is_not_trained_on_and_the_test_cities_stay(region, probe_of):
    cities = real_cities(400)
    usual, probe = probe_of(cities), probe_of(cities, hold_out=region)
    in_region = np.array([region in (code, COUNTRY_OF[code]) for code in cities.country])
    np.testing.assert_array_equal(probe.test, usual.test)
    assert set(probe.train) == set(usual.train[~in_region[usual.train]]) < set(usual.train)
    assert in_region[probe.test].any()


def test_holding_out_leaves_as_many_training_cities_as_there_are(probe_of):
    """With more cities than are used, others of the rest take the place of those held out."""
    cities = real_cities(8000)
    probe = probe_of(cities, hold_out="JP")
    assert len(probe.train) == 3000 and "JP" not in np.array(cities.country)[probe.train]


def test_namibia_is_a_country_and_no_missing_value(probe_of):
    probe = probe_of(real_cities(200), hold_out="NA")
    assert "NA" in probe.cities.country and "NA" not in np.array(probe.cities.country)[probe.train]


def test_invented_cities_are_all_tested_and_none_trained_on(probe_of):
    cities = with_atlantis(200, 50)
    probe = probe_of(cities)
    assert (len(probe.train), len(probe.test)) == (120, 80)
    assert max(probe.train) < 200 and max(probe.test) < 200
    np.testing.assert_array_equal(probe.test, probe_of(real_cities(200)).test)
    shown_deg = places_deg(cities)
    shown_deg[200:, 0] += np.linspace(1, 20, 50)  # each invented city is decoded somewhat too far north
    found = probe.fit(as_states(linear_world(shown_deg))).flat()
    assert found["error_km_mean"] < 1
    expected_km = dist_km(shown_deg, places_deg(cities))[200:].mean()
    assert found["error_km_mean_Atlantis"] == pytest.approx(expected_km, rel=1e-3) and expected_km > 500
    assert 0 < found["baseline_error_km_mean_Atlantis"] < 20_015


def test_three_in_five_invented_cities_are_trained_on_if_asked_for_and_the_others_tested(probe_of):
    cities = with_atlantis(200, 50)
    usual, probe = probe_of(cities), probe_of(cities, atlantis="train")
    np.testing.assert_array_equal(probe.test, usual.test)
    np.testing.assert_array_equal(probe.train[:120], usual.train)
    trained = set(probe.train[120:].tolist())
    assert len(trained) == 30 and trained <= set(range(200, 250)) and trained != set(range(200, 230))
    tested = sorted(set(range(200, 250)) - trained)
    shown_deg = places_deg(cities)
    shown_deg[tested, 0] += np.linspace(1, 20, 20)
    found = probe.fit(as_states(linear_world(shown_deg))).flat()
    expected_km = dist_km(shown_deg, places_deg(cities))[tested].mean()
    assert found["error_km_mean_Atlantis"] == pytest.approx(expected_km, rel=1e-3) and found["error_km_mean"] < 1


def test_a_world_without_invented_cities_has_no_number_for_them(probe_of):
    cities = real_cities(100)
    found = probe_of(cities).fit(as_states(linear_world(places_deg(cities)))).flat()
    assert not [name for name in found if "Atlantis" in name]


def test_errors_by_continent_average_to_the_whole(probe_of):
    cities = with_atlantis(300, 20)
    probe = probe_of(cities)
    features_ND = linear_world(places_deg(cities)) + np.random.default_rng(8).normal(0, 0.5, (320, 16))
    found = probe.fit(as_states(features_ND)).flat()
    counts = Counter(COUNTRY_OF[cities.country[i]] for i in probe.test)
    start = "error_km_mean_"
    by_continent = {n.removeprefix(start).replace("_", " "): v for n, v in found.items() if n.startswith(start)}
    assert by_continent.keys() == {*counts, "Atlantis"} and len(set(by_continent.values())) == 5
    total = sum(count * by_continent[name] for name, count in counts.items())
    assert total / len(probe.test) == pytest.approx(found["error_km_mean"])


def test_other_cities_than_the_datasets_can_be_probed(probe_of, tmp_path):
    cities = real_cities(100)
    first = Cities(*(deepcopy(values[:30]) for values in vars(cities).values()))
    first.write_csv(tmp_path / "others.csv")
    probe = probe_of(cities, cities_csv=str(tmp_path / "others.csv"))
    assert len(probe.prompts) == 30 and (len(probe.train), len(probe.test)) == (18, 12)
    first.lat_deg[7] -= np.sign(first.lat_deg[7])
    first.write_csv(tmp_path / "others.csv")
    with refusal("--cities_csv", 1, 7):
        probe_of(cities, cities_csv=str(tmp_path / "others.csv"))


@pytest.mark.parametrize("name", ["Atlantis", "XX1", "Africa"])
@pytest.mark.parametrize("atlantis", ["test", "train"])
def test_nothing_of_what_is_held_out_is_trained_on(name, atlantis, probe_of):
    cities = join_cities(real_cities(100), invent_cities([(35, -35), (-30, 80)], 50, first_id=100))
    probe, usual = probe_of(cities, atlantis=atlantis, hold_out=name), probe_of(cities, atlantis=atlantis)
    assert set(probe.train) == set(usual.train) - set(np.flatnonzero(probe._region(name)))
    assert probe.test.tolist() == usual.test.tolist()
    assert set(probe.tested_invented) == set(probe.invented) - set(probe.train)


# --- what the model is shown

TEMPLATES = {
    "distance": "dist(c_{},c_",
    "atlantis_inter": "dist(c_{},c_",
    "atlantis_cross": "dist(c_{},c_",
    "location": "loc(c_{})=",
    "random_walk": "srd_350=c_{},c_",
}


@pytest.mark.parametrize("task, template", TEMPLATES.items())
def test_each_task_is_shown_its_own_prompts_with_the_cities_real_numbers(task, template, probe_of):
    cities = with_atlantis(100, 10)
    cities.city_id[:] = np.sort(np.random.default_rng(0).choice(90_000, 110, replace=False))
    probe = probe_of(cities, task=task, asked={"radius_km": 350})
    assert probe.prompts == [template.format(number) for number in cities.city_id.tolist()]


def test_another_prompt_may_be_given(probe_of):
    assert probe_of(real_cities(50), prompt="dist(c_5,c_{id})=").prompts[41] == "dist(c_5,c_41)="


@pytest.mark.parametrize("prompt", [None, "c_{id}", "loc(c_{id})="])
def test_the_clean_probe_reads_the_last_token_and_the_seed_protocol_the_last_three(prompt, probe_of):
    cities = real_cities(50)
    assert probe_of(cities, prompt=prompt).tokens == 1
    assert probe_of(cities, prompt=prompt, protocol="original").tokens == 3


@pytest.mark.parametrize("n_blocks, block", [(1, 1), (2, 1), (3, 2), (4, 3), (6, 5), (12, 11)])
def test_the_clean_probe_reads_the_last_block_but_one(n_blocks, block, probe_of):
    assert probe_of(real_cities(50), n_blocks).blocks == [block]


def test_the_seed_protocol_reads_blocks_4_and_5_and_others_may_be_given(probe_of):
    cities = real_cities(50)
    assert probe_of(cities, protocol="original").blocks == [4, 5]
    assert probe_of(cities, 2, protocol="original", blocks="1,2").blocks == [1, 2]
    assert probe_of(cities, blocks="3").blocks == [3]


@pytest.mark.parametrize(
    "options, names",
    [
        ({"hold_out": "Afrika"}, "Afrika Africa"),
        ({"hold_out": "Oceania"}, "Oceania"),
        ({"blocks": "x"}, "--blocks 'x'"),
        ({"blocks": "4,"}, "--blocks '4,'"),
        ({"prompt": "dist(c_"}, "--prompt {id}"),
        ({"prompt": "dist(c_{id},c_{id}"}, "--prompt {id}"),
        ({"atlantis": "train"}, "--atlantis train"),
        ({"cities_csv": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_what_cannot_be_used_is_refused(options, names, probe_of):
    with refusal(*names.split()):
        probe_of(real_cities(100), **options)


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_the_seed_protocol_needs_five_blocks(n_blocks, probe_of):
    with refusal("--blocks", n_blocks):
        probe_of(real_cities(50), n_blocks, protocol="original")
    assert probe_of(real_cities(50), 5, protocol="original").blocks == [4, 5]


@pytest.mark.parametrize(("n", "n_train", "n_test"), [(1, 0, 1), (2, 1, 1), (3, 1, 2)])
def test_a_world_too_small_to_split_is_refused(n, n_train, n_test, probe_of):
    with refusal(n_train, n_test):
        probe_of(real_cities(n))


def test_holding_out_the_whole_world_is_refused(probe_of):
    with refusal(0, 20):
        probe_of(real_cities(50, countries=("JP",)), hold_out="Asia")


def test_the_seed_of_the_split_is_not_negative():
    with refusal("--probe_seed", -1):
        check_ranges(CityProbeOptions(probe_seed=-1))


CHOICES = {
    "protocol": {"protocol": "original"},
    "blocks": {"blocks": "4"},
    "two blocks": {"blocks": "4,5"},
    "hold_out": {"hold_out": "North America"},
    "country": {"hold_out": "JP"},
    "atlantis": {"atlantis": "train"},
    "prompt": {"prompt": "loc(c_{id}"},
    "probe_seed": {"probe_seed": 7},
    "cities_csv": {"cities_csv": "others.csv"},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_another_choice_has_another_label_so_that_results_do_not_mix(choice, probe_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cities = with_atlantis(100, 10)
    Cities(*(values[:40] for values in vars(cities).values())).write_csv(tmp_path / "others.csv")
    labels = {name: probe_of(cities, **options).label for name, options in CHOICES.items() if name != choice}
    label = probe_of(cities, **CHOICES[choice]).label
    assert label != probe_of(cities).label == "clean"
    assert label not in labels.values()
    assert " " not in label and "/" not in label and "," not in label  # it names folders and metrics


def test_cities_without_their_numbers_cannot_be_asked_for(probe_of, tmp_path):
    from geo.cities import load_cities

    path = tmp_path / "mine.csv"
    path.write_text("name,latitude,longitude,country,population\nA,1,2,DE,5\nB,3,4,DE,6\n", encoding="utf-8")
    with refusal("mine.csv", "id"):
        probe_of(load_cities(n_cities=20), cities_csv=str(path))


def test_a_dataset_that_has_lost_its_cities_is_damaged(tmp_path):
    from tasks.geography.world import stored_cities

    (tmp_path / "metadata.json").write_text(json.dumps({"task": "location", "options": {"n_cities": 40}}))
    with refusal("cities.csv", "--rebuild", "--n_cities 40"):
        stored_cities(tmp_path)
