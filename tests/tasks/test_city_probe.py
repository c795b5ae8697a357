"""The probe of cities in hand-made worlds, where it is known what linear regression must find."""

import io
import warnings
from collections import Counter

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import haversine_distances

from geo.atlantis import invent_cities, join_cities
from geo.cities import Cities
from geo.continents import CONTINENTS, continents_of
from geo.maps.decoded import COLOURS
from tasks.geography.city_probe import CityProbe, CityProbeOptions
from trainers.contract import StoredDataset
from trainers.errors import UserError
from trainers.options import check_ranges

RADIUS_KM = 6371.0
COUNTRY_OF = {"DE": "Europe", "FR": "Europe", "JP": "Asia", "NG": "Africa", "NA": "Africa", "US": "North America"}


def real_cities(n, seed=0, countries=tuple(COUNTRY_OF)):
    """Cities anywhere on the globe, in countries that have nothing to do with where they are."""
    rng = np.random.default_rng(seed)
    return Cities(
        np.arange(n, dtype=np.int64),
        tuple(f"City {i}" for i in range(n)),
        np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        rng.uniform(-180, 180, n),
        tuple(rng.choice(countries, n).tolist()),
        np.full(n, -1, dtype=np.int64),
    )


def with_atlantis(n_real, n_invented, seed=0):
    return join_cities(real_cities(n_real, seed), invent_cities([(35, -35)], n_invented, first_id=n_real))


@pytest.fixture
def probe_of(tmp_path):
    def made(cities, n_blocks=6, task="distance", asked=None, **options):
        cities.write_csv(tmp_path / "cities.csv")
        data = StoredDataset(tmp_path, {}, {"task": task, "options": asked or {}})
        return CityProbe(CityProbeOptions(**options), data, n_blocks)

    return made


def places_deg(cities):
    return np.stack([cities.lat_deg, cities.lon_deg], axis=1)


def vectors_of(deg_N2):
    lat, lon = np.radians(deg_N2).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def dist_km(one_deg, other_deg):
    """Scikit-learn's distance of each place to the one beside it."""
    pairs = zip(np.radians(one_deg), np.radians(other_deg), strict=True)
    return np.array([haversine_distances([a], [b])[0, 0] for a, b in pairs]) * RADIUS_KM


def as_states(features_ND, blocks=1, block=0):
    """States of one token that have the features at one block, and numbers without meaning at all others."""
    states_NLTD = np.random.default_rng(9).normal(size=(len(features_ND), blocks, 1, features_ND.shape[1]))
    states_NLTD[:, block, 0] = features_ND
    return states_NLTD.astype(np.float32)


def linear_world(deg_N2, width=16, seed=5):
    """Unit vectors times a random matrix, plus an offset."""
    rng = np.random.default_rng(seed)
    return vectors_of(deg_N2) @ rng.normal(size=(3, width)) + rng.normal(size=width)


# --- what is found in a world where the answer is known


def test_the_clean_probe_finds_a_linear_map_to_the_metre(probe_of):
    cities = real_cities(500)
    probe = probe_of(cities)
    found = probe.fit(as_states(linear_world(places_deg(cities)))).metrics
    for axis in ("r2_lon", "r2_lat", "train_r2_lon", "train_r2_lat"):
        assert found[axis] > 0.999
    assert found["error_km_mean"] < 1 and found["error_km_median"] < 1
    assert found["baseline_error_km_mean"] > 5_000


def test_the_scale_of_the_states_does_not_matter_to_the_clean_probe(probe_of):
    cities = real_cities(300)
    rng = np.random.default_rng(1)
    features_ND = linear_world(places_deg(cities)) + rng.normal(0, 0.3, (300, 16))
    probe = probe_of(cities)
    expected = probe.fit(features_ND[:, None, None]).metrics
    for factor in (1e-6, 1e6):
        assert probe.fit(factor * features_ND[:, None, None]).metrics == pytest.approx(expected, rel=1e-6)


def test_the_clean_probe_of_two_blocks_reads_both(probe_of):
    cities = real_cities(500)
    features_ND = linear_world(places_deg(cities))
    for block in (0, 1):
        found = probe_of(cities, blocks="2,5").fit(as_states(features_ND, blocks=2, block=block)).metrics
        assert found["error_km_mean"] < 20  # 16 of 32 numbers are noise


def test_noise_on_unit_vectors_gives_rayleighs_error(probe_of):
    """Gaussian noise of spread s across the line of sight: distances have mean s sqrt(pi/2), median s sqrt(2 ln 2)."""
    cities, spread = real_cities(6000), 0.03
    features_ND = vectors_of(places_deg(cities)) + np.random.default_rng(2).normal(0, spread, (6000, 3))
    found = probe_of(cities).fit(as_states(features_ND)).metrics
    assert found["error_km_mean"] == pytest.approx(RADIUS_KM * spread * np.sqrt(np.pi / 2), rel=0.05)
    assert found["error_km_median"] == pytest.approx(RADIUS_KM * spread * np.sqrt(2 * np.log(2)), rel=0.05)
    lat_variance = np.pi**2 / 4 - 2  # of places that are uniform on the sphere
    assert 1 - found["r2_lat"] == pytest.approx(spread**2 / lat_variance, rel=0.12)


def test_the_seed_protocol_explains_what_noise_on_degrees_leaves(probe_of):
    """The best linear guess of x from x + noise explains var(x) / (var(x) + var(noise))."""
    cities = real_cities(6000)
    lat_deg, lon_deg = places_deg(cities).T
    rng = np.random.default_rng(3)
    states = np.zeros((6000, 2, 3, 1))  # each axis at another block and token
    states[:, 0, 0, 0] = lon_deg + rng.normal(0, 60, 6000)
    states[:, 1, 2, 0] = lat_deg + rng.normal(0, 40, 6000)
    found = probe_of(cities, protocol="seed").fit(states).metrics
    assert found["r2_lon"] == pytest.approx(lon_deg.var() / (lon_deg.var() + 60**2), abs=0.015)
    assert found["r2_lat"] == pytest.approx(lat_deg.var() / (lat_deg.var() + 40**2), abs=0.03)


@pytest.mark.parametrize("noise_deg", [0.0, 30.0])
def test_the_seed_protocol_is_scikit_learns_ridge_with_alpha_10_on_raw_degrees(noise_deg, probe_of):
    cities = real_cities(250)
    deg_N2, rng = places_deg(cities), np.random.default_rng(4)
    mixed_N3 = (deg_N2[:, ::-1] / 50 + rng.normal(0, 1, (250, 2)) * noise_deg / 50) @ rng.normal(size=(2, 3)) + 7
    states = rng.normal(size=(250, 2, 3, 3))
    states[:, 1, 2] = mixed_N3
    probe = probe_of(cities, protocol="seed")
    found = probe.fit(states).metrics
    features_NF = states.reshape(250, -1)
    lon, lat = (
        Ridge(alpha=10.0).fit(features_NF[probe.train], axis[probe.train]).predict(features_NF[probe.test])
        for axis in (cities.lon_deg, cities.lat_deg)
    )
    assert found["r2_lon"] == pytest.approx(r2_score(cities.lon_deg[probe.test], lon), abs=1e-9)
    assert found["r2_lat"] == pytest.approx(r2_score(cities.lat_deg[probe.test], lat), abs=1e-9)
    shown_deg = np.stack([np.clip(lat, -90, 90), np.clip(lon, -180, 180)], axis=1)
    error_km = dist_km(shown_deg, deg_N2[probe.test])
    assert found["error_km_mean"] == pytest.approx(error_km.mean())
    assert found["error_km_median"] == pytest.approx(np.median(error_km))
    if noise_deg == 0:
        assert found["r2_lon"] > 0.98 and found["r2_lat"] > 0.97


def test_the_seed_protocol_is_ridge_in_closed_form(probe_of):
    """(X'X + 10 I) w = X'y on centred training rows, worked out by hand."""
    cities = real_cities(80)
    features_NF = np.random.default_rng(6).normal(size=(80, 6)) + places_deg(cities)[:, :1] / 40
    probe = probe_of(cities, protocol="seed")
    x, y = features_NF[probe.train], cities.lon_deg[probe.train]
    weights = np.linalg.solve((x - x.mean(0)).T @ (x - x.mean(0)) + 10 * np.eye(6), (x - x.mean(0)).T @ (y - y.mean()))
    lon = (features_NF[probe.test] - x.mean(0)) @ weights + y.mean()
    found = probe.fit(features_NF.reshape(80, 1, 3, 2)).metrics
    assert found["r2_lon"] == pytest.approx(r2_score(cities.lon_deg[probe.test], lon), abs=1e-9)


@pytest.mark.parametrize("protocol", ["clean", "seed"])
def test_noise_tells_nothing(protocol, probe_of):
    cities = real_cities(3000)
    cities.lon_deg[:] /= 2  # one half of the globe, so that the best guess lies in its middle
    states = np.random.default_rng(7).normal(size=(3000, 1, 3, 8))
    found = probe_of(cities, protocol=protocol).fit(states).metrics
    assert -0.05 < found["r2_lon"] < 0.01 and -0.05 < found["r2_lat"] < 0.01
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=0.05)


@pytest.mark.parametrize("protocol", ["clean", "seed"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_constant_states_give_the_baseline(protocol, value, probe_of):
    cities = real_cities(100)
    found = probe_of(cities, protocol=protocol).fit(np.full((100, 1, 3, 4), value, dtype=np.float32)).metrics
    assert np.isfinite(list(found.values())).all()
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=1e-3)
    assert found["r2_lat"] < 0.01


def test_the_baselines_are_the_mean_direction_and_the_mean_degrees_of_the_training_cities(probe_of):
    cities = real_cities(100)
    deg_N2 = places_deg(cities)
    for protocol in ("clean", "seed"):
        probe = probe_of(cities, protocol=protocol)
        found = probe.fit(np.random.default_rng(0).normal(size=(100, 1, 3, 4))).metrics
        if protocol == "seed":
            guess_deg = deg_N2[probe.train].mean(axis=0)
        else:
            x, y, z = vectors_of(deg_N2[probe.train]).mean(axis=0)
            guess_deg = np.degrees([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)])
        error_km = dist_km(np.tile(guess_deg, (len(probe.test), 1)), deg_N2[probe.test])
        assert found["baseline_error_km_mean"] == pytest.approx(error_km.mean())
        assert found["baseline_error_km_median"] == pytest.approx(np.median(error_km))


def across_the_date_line(cities, test):
    """Places of the cities, but tested ones near the date line lie as far on its other side; which these are."""
    shown_deg = places_deg(cities)
    crossed = test[np.abs(cities.lon_deg[test]) > 179]
    shown_deg[crossed, 1] *= -1
    return shown_deg, crossed


def near_the_date_line(n):
    cities = real_cities(n)
    cities.lon_deg[::20] = np.where(cities.lon_deg[::20] > 0, 179.9, -179.9)
    return cities


def test_the_clean_probe_does_not_punish_a_step_across_the_date_line(probe_of):
    cities = near_the_date_line(600)
    probe = probe_of(cities)
    shown_deg, crossed = across_the_date_line(cities, probe.test)
    found = probe.fit(as_states(linear_world(shown_deg))).metrics
    assert len(crossed) > 5 and 0.9999 < found["r2_lon"] < 1
    assert found["error_km_mean"] == pytest.approx(dist_km(shown_deg, places_deg(cities))[probe.test].mean(), rel=0.01)


def test_the_seed_protocol_takes_the_date_line_for_a_wall(probe_of):
    cities = near_the_date_line(600)
    probe = probe_of(cities, protocol="seed")
    shown_deg, crossed = across_the_date_line(cities, probe.test)
    found = probe.fit(np.repeat(shown_deg[:, None, None], 3, axis=2)).metrics
    spread = cities.lon_deg[probe.test] - cities.lon_deg[probe.test].mean()
    off_deg = 2 * cities.lon_deg[crossed]
    expected = 1 - (off_deg**2).sum() / (spread**2).sum()
    assert len(crossed) > 5 and expected < 0.8
    assert found["r2_lon"] == pytest.approx(expected, abs=0.001) and found["r2_lat"] > 0.999
    assert found["error_km_mean"] < 5  # on the globe they are neighbours


def test_noise_explains_nothing_in_a_world_on_both_sides_of_the_date_line_either(probe_of):
    """Longitudes of 179 and -179 are neighbours: their spread is 1 degree or so, not 179, and noise explains none."""
    cities = real_cities(600)
    cities.lat_deg[:] /= 9
    cities.lon_deg[:] = (180 + cities.lon_deg / 90 + 180) % 360 - 180
    states = np.random.default_rng(7).normal(size=(600, 1, 3, 8))
    found = probe_of(cities).fit(states).metrics
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=0.1)
    assert found["r2_lat"] < 0.1 and found["r2_lon"] < 0.1


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
    found = probe.fit(as_states(linear_world(shown_deg))).metrics
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
    found = probe.fit(as_states(linear_world(shown_deg))).metrics
    expected_km = dist_km(shown_deg, places_deg(cities))[tested].mean()
    assert found["error_km_mean_Atlantis"] == pytest.approx(expected_km, rel=1e-3) and found["error_km_mean"] < 1


def test_a_world_without_invented_cities_has_no_number_for_them(probe_of):
    cities = real_cities(100)
    found = probe_of(cities).fit(as_states(linear_world(places_deg(cities)))).metrics
    assert not [name for name in found if "Atlantis" in name]


def test_errors_by_continent_average_to_the_whole(probe_of):
    cities = with_atlantis(300, 20)
    probe = probe_of(cities)
    features_ND = linear_world(places_deg(cities)) + np.random.default_rng(8).normal(0, 0.5, (320, 16))
    found = probe.fit(as_states(features_ND)).metrics
    counts = Counter(COUNTRY_OF[cities.country[i]] for i in probe.test)
    start = "error_km_mean_"
    by_continent = {n.removeprefix(start).replace("_", " "): v for n, v in found.items() if n.startswith(start)}
    assert by_continent.keys() == {*counts, "Atlantis"} and len(set(by_continent.values())) == 5
    total = sum(count * by_continent[name] for name, count in counts.items())
    assert total / len(probe.test) == pytest.approx(found["error_km_mean"])


def test_other_cities_than_the_datasets_can_be_probed(probe_of, tmp_path):
    real_cities(30, seed=1).write_csv(tmp_path / "others.csv")
    probe = probe_of(real_cities(100), cities_csv=str(tmp_path / "others.csv"))
    assert len(probe.prompts) == 30 and (len(probe.train), len(probe.test)) == (18, 12)


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
    assert probe_of(cities, prompt=prompt, protocol="seed").tokens == 3


@pytest.mark.parametrize("n_blocks, block", [(1, 1), (2, 1), (3, 2), (4, 3), (6, 5), (12, 11)])
def test_the_clean_probe_reads_the_last_block_but_one(n_blocks, block, probe_of):
    assert probe_of(real_cities(50), n_blocks).blocks == [block]


def test_the_seed_protocol_reads_blocks_4_and_5_and_others_may_be_given(probe_of):
    cities = real_cities(50)
    assert probe_of(cities, protocol="seed").blocks == [4, 5]
    assert probe_of(cities, 2, protocol="seed", blocks="1,2").blocks == [1, 2]
    assert probe_of(cities, blocks="3").blocks == [3]


@pytest.mark.parametrize(
    "options, fragment",
    [
        ({"hold_out": "Afrika"}, "no city lies in 'Afrika'; .* Did you mean Africa?"),
        ({"hold_out": "Oceania"}, "no city lies in 'Oceania'"),
        ({"blocks": "x"}, "--blocks is 'x'; give numbers such as 4 or 4,5"),
        ({"blocks": "4,"}, "--blocks is '4,'"),
        ({"prompt": "dist(c_"}, "must hold {id} once"),
        ({"prompt": "dist(c_{id},c_{id}"}, "must hold {id} once"),
        ({"atlantis": "train"}, "--atlantis train needs invented cities"),
        ({"cities_csv": "nowhere.csv"}, "nowhere.csv does not exist"),
    ],
)
def test_what_cannot_be_used_is_refused(options, fragment, probe_of):
    with pytest.raises(UserError, match=fragment):
        probe_of(real_cities(100), **options)


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_the_seed_protocol_needs_five_blocks(n_blocks, probe_of):
    with pytest.raises(UserError, match=f"reads blocks 4 and 5, but the model has {n_blocks}; give --blocks"):
        probe_of(real_cities(50), n_blocks, protocol="seed")
    assert probe_of(real_cities(50), 5, protocol="seed").blocks == [4, 5]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_world_too_small_to_split_is_refused(n, probe_of):
    with pytest.raises(UserError, match="give a larger world"):
        probe_of(real_cities(n))


def test_holding_out_the_whole_world_is_refused(probe_of):
    with pytest.raises(UserError, match="0 cities are left to train the probe on"):
        probe_of(real_cities(50, countries=("JP",)), hold_out="Asia")


def test_the_seed_of_the_split_is_not_negative():
    with pytest.raises(UserError, match="--probe_seed is -1; it must be at least 0"):
        check_ranges(CityProbeOptions(probe_seed=-1), CityProbeOptions.RANGES)


CHOICES = {
    "protocol": {"protocol": "seed"},
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
    real_cities(40, seed=3).write_csv(tmp_path / "others.csv")
    cities = with_atlantis(100, 10)
    labels = {name: probe_of(cities, **options).label for name, options in CHOICES.items() if name != choice}
    label = probe_of(cities, **CHOICES[choice]).label
    assert label != probe_of(cities).label == "clean"
    assert label not in labels.values()
    assert " " not in label and "/" not in label and "," not in label  # it names folders and metrics


# --- pictures


def dots(figure):
    return [found for found in figure.axes[0].collections if isinstance(found, PathCollection)]


def test_the_map_shows_where_the_test_cities_are_decoded_in_the_colours_of_their_continents(probe_of):
    cities = with_atlantis(200, 30)
    probe = probe_of(cities)
    reading = probe.fit(as_states(linear_world(places_deg(cities))))
    figure = reading.draw("Step 7")
    expected = {(round(cities.lat_deg[i], 2), round(cities.lon_deg[i], 2)) for i in [*probe.test, *range(200, 230)]}
    drawn_deg = np.concatenate([np.degrees(np.asarray(found.get_offsets())[:, ::-1]) for found in dots(figure)])
    assert len(drawn_deg) == 80 + 30 and {tuple(place) for place in drawn_deg.round(2).tolist()} == expected
    sizes = {found.get_label(): len(found.get_offsets()) for found in dots(figure)}
    assert sizes == {**Counter(COUNTRY_OF[cities.country[i]] for i in probe.test), "Atlantis": 30}
    assert len(COLOURS) == len(set(COLOURS)) == len(CONTINENTS)
    texts = [text.get_text() for text in figure.texts]
    assert "Step 7" in texts
    metrics = reading.metrics
    (caption,) = [text for text in texts if "has not seen" in text]
    assert caption.startswith("80 ")
    for number in (f"{metrics['r2_lon']:.3f}", f"{metrics['r2_lat']:.3f}", f"{metrics['error_km_mean']:,.0f} km"):
        assert number in caption


def test_places_decoded_off_the_globe_are_drawn_at_its_rim(probe_of):
    cities = real_cities(60)
    states = np.repeat(3 * places_deg(cities)[:, None, None], 3, axis=2)
    probe = probe_of(cities, protocol="seed")
    states[probe.test] *= 4  # decoded four times as far from 0, 0
    figure = probe.fit(states).draw("x")
    drawn_deg = np.abs(np.degrees(np.concatenate([found.get_offsets() for found in dots(figure)])))
    assert drawn_deg[:, 0].max() == pytest.approx(180) and drawn_deg[:, 1].max() == pytest.approx(90)
    figure.savefig(io.BytesIO(), dpi=30)


def test_the_curves_show_every_reading_and_the_baseline(probe_of):
    cities = real_cities(60)
    probe = probe_of(cities)
    rng = np.random.default_rng(0)
    worlds = [rng.normal(size=(60, 16)), linear_world(places_deg(cities))]
    readings = [probe.fit(as_states(features_ND)) for features_ND in worlds]
    figure = probe.draw_curves([0, 50], readings)
    left, right = ({line.get_label(): line.get_data() for line in axes.lines} for axes in figure.axes)
    for shown, label, name in (
        (right, "mean", "error_km_mean"),
        (right, "median", "error_km_median"),
        (right, "mean of the trivial baseline", "baseline_error_km_mean"),
    ):
        np.testing.assert_array_equal(shown[label], [[0, 50], [reading.metrics[name] for reading in readings]])
    for label, name in (("longitude", "r2_lon"), ("latitude", "r2_lat")):
        np.testing.assert_array_equal(left[label][1], [max(-0.2, reading.metrics[name]) for reading in readings])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), dpi=30)


# --- continents


@pytest.mark.parametrize(
    "country, continent",
    [
        ("DE", "Europe"),
        ("RU", "Europe"),
        ("TR", "Asia"),
        ("JP", "Asia"),
        ("NA", "Africa"),
        ("ZA", "Africa"),
        ("US", "North America"),
        ("MX", "North America"),
        ("BR", "South America"),
        ("AU", "Oceania"),
        ("XK", "Europe"),
        ("XX0", "Atlantis"),
        ("XX", "unknown"),
        ("XX12", "Atlantis"),
        ("QQ", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_country_lies_on_its_continent(country, continent):
    assert continents_of(["FR", country]) == ["Europe", continent]


def test_every_country_with_cities_lies_on_a_continent_that_maps_know():
    from geo.cities import load_cities

    assert set(continents_of(load_cities().country)) == set(CONTINENTS) - {"Atlantis"}


def test_cities_without_their_numbers_cannot_be_asked_for(probe_of, tmp_path):
    from geo.cities import load_cities

    path = tmp_path / "mine.csv"
    path.write_text("name,latitude,longitude,country,population\nA,1,2,DE,5\nB,3,4,DE,6\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no column id"):
        probe_of(load_cities(n_cities=20), cities_csv=str(path))
