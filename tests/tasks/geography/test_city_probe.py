"""The probe of cities in hand-made worlds, where it is known what linear regression must find, and its pictures."""

import io
import warnings
from collections import Counter

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from geo.continents import CONTINENTS
from geo.maps.decoded import COLOURS

from .probe_helpers import (
    COUNTRY_OF,
    RADIUS_KM,
    as_states,
    dist_km,
    linear_world,
    places_deg,
    real_cities,
    vectors_of,
    with_atlantis,
)

# --- what is found in a world where the answer is known


def test_the_clean_probe_finds_a_linear_map_to_the_metre(probe_of):
    cities = real_cities(500)
    probe = probe_of(cities)
    found = probe.fit(as_states(linear_world(places_deg(cities)))).flat()
    for axis in ("r2_lon", "r2_lat", "train_r2_lon", "train_r2_lat"):
        assert found[axis] > 0.999
    assert found["error_km_mean"] < 1 and found["error_km_median"] < 1
    assert found["baseline_error_km_mean"] > 5_000


def test_the_scale_of_the_states_does_not_matter_to_the_clean_probe(probe_of):
    cities = real_cities(300)
    rng = np.random.default_rng(1)
    features_ND = linear_world(places_deg(cities)) + rng.normal(0, 0.3, (300, 16))
    probe = probe_of(cities)
    expected = probe.fit(features_ND[:, None, None]).flat()
    for factor in (1e-6, 1e6):
        assert probe.fit(factor * features_ND[:, None, None]).flat() == pytest.approx(expected, rel=1e-6)


def test_the_clean_probe_of_two_blocks_reads_both(probe_of):
    cities = real_cities(500)
    features_ND = linear_world(places_deg(cities))
    for block in (0, 1):
        found = probe_of(cities, blocks="2,5").fit(as_states(features_ND, blocks=2, block=block)).flat()
        assert found["error_km_mean"] < 20  # 16 of 32 numbers are noise


def test_noise_on_unit_vectors_gives_rayleighs_error(probe_of):
    """Gaussian noise of spread s across the line of sight: distances have mean s sqrt(pi/2), median s sqrt(2 ln 2)."""
    cities, spread = real_cities(6000), 0.03
    features_ND = vectors_of(places_deg(cities)) + np.random.default_rng(2).normal(0, spread, (6000, 3))
    found = probe_of(cities).fit(as_states(features_ND)).flat()
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
    found = probe_of(cities, protocol="original").fit(states).flat()
    assert found["r2_lon"] == pytest.approx(lon_deg.var() / (lon_deg.var() + 60**2), abs=0.015)
    assert found["r2_lat"] == pytest.approx(lat_deg.var() / (lat_deg.var() + 40**2), abs=0.03)


@pytest.mark.parametrize("noise_deg", [0.0, 30.0])
def test_the_seed_protocol_is_scikit_learns_ridge_with_alpha_10_on_raw_degrees(noise_deg, probe_of):
    cities = real_cities(250)
    deg_N2, rng = places_deg(cities), np.random.default_rng(4)
    mixed_N3 = (deg_N2[:, ::-1] / 50 + rng.normal(0, 1, (250, 2)) * noise_deg / 50) @ rng.normal(size=(2, 3)) + 7
    states = rng.normal(size=(250, 2, 3, 3))
    states[:, 1, 2] = mixed_N3
    probe = probe_of(cities, protocol="original")
    found = probe.fit(states).flat()
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
    probe = probe_of(cities, protocol="original")
    x, y = features_NF[probe.train], cities.lon_deg[probe.train]
    weights = np.linalg.solve((x - x.mean(0)).T @ (x - x.mean(0)) + 10 * np.eye(6), (x - x.mean(0)).T @ (y - y.mean()))
    lon = (features_NF[probe.test] - x.mean(0)) @ weights + y.mean()
    found = probe.fit(features_NF.reshape(80, 1, 3, 2)).flat()
    assert found["r2_lon"] == pytest.approx(r2_score(cities.lon_deg[probe.test], lon), abs=1e-9)


@pytest.mark.parametrize("protocol", ["clean", "original"])
def test_noise_tells_nothing(protocol, probe_of):
    cities = real_cities(3000)
    cities.lon_deg[:] /= 2  # one half of the globe, so that the best guess lies in its middle
    states = np.random.default_rng(7).normal(size=(3000, 1, 3, 8))
    found = probe_of(cities, protocol=protocol).fit(states).flat()
    assert -0.05 < found["r2_lon"] < 0.01 and -0.05 < found["r2_lat"] < 0.01
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=0.05)


@pytest.mark.parametrize("protocol", ["clean", "original"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_constant_states_give_the_baseline(protocol, value, probe_of):
    cities = real_cities(100)
    found = probe_of(cities, protocol=protocol).fit(np.full((100, 1, 3, 4), value, dtype=np.float32)).flat()
    assert np.isfinite(list(found.values())).all()
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=1e-3)
    for axis in ("r2_lon", "r2_lat"):
        assert found[axis] == pytest.approx(found[f"baseline_{axis}"], abs=1e-3) and found[axis] < 0.02


def test_the_baselines_are_the_mean_direction_and_the_mean_degrees_of_the_training_cities(probe_of):
    cities = real_cities(100)
    deg_N2 = places_deg(cities)
    for protocol in ("clean", "original"):
        probe = probe_of(cities, protocol=protocol)
        found = probe.fit(np.random.default_rng(0).normal(size=(100, 1, 3, 4))).flat()
        if protocol == "original":
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
    found = probe.fit(as_states(linear_world(shown_deg))).flat()
    assert len(crossed) > 5 and 0.9999 < found["r2_lon"] < 1
    assert found["error_km_mean"] == pytest.approx(dist_km(shown_deg, places_deg(cities))[probe.test].mean(), rel=0.01)


def test_the_seed_protocol_takes_the_date_line_for_a_wall(probe_of):
    cities = near_the_date_line(600)
    probe = probe_of(cities, protocol="original")
    shown_deg, crossed = across_the_date_line(cities, probe.test)
    found = probe.fit(np.repeat(shown_deg[:, None, None], 3, axis=2)).flat()
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
    found = probe_of(cities).fit(states).flat()
    assert found["error_km_mean"] == pytest.approx(found["baseline_error_km_mean"], rel=0.1)
    assert found["r2_lat"] < 0.1 and found["r2_lon"] < 0.1


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
    metrics = reading.flat()
    (caption,) = [text for text in texts if "has not seen" in text]
    assert caption.startswith("80 ")
    for number in (f"{metrics['r2_lon']:.3f}", f"{metrics['r2_lat']:.3f}", f"{metrics['error_km_mean']:,.0f} km"):
        assert number in caption


def test_places_decoded_off_the_globe_are_drawn_at_its_rim(probe_of):
    cities = real_cities(60)
    states = np.repeat(3 * places_deg(cities)[:, None, None], 3, axis=2)
    probe = probe_of(cities, protocol="original")
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
        np.testing.assert_array_equal(shown[label], [[0, 50], [reading.flat()[name] for reading in readings]])
    for label, name in (("longitude", "r2_lon"), ("latitude", "r2_lat")):
        np.testing.assert_array_equal(left[label][1], [max(-1.0, reading.metrics[name]) for reading in readings])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), dpi=30)
