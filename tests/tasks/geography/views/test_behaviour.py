"""The map from behaviour: formulas against other sources, and models whose answers are known."""

import numpy as np
import pytest
from sklearn.manifold import smacof
from sklearn.metrics.pairwise import haversine_distances

from geo.sphere import chord_of_km, great_circle_km
from tasks.geography.views import behaviour, coherence, resampling, scaling
from tasks.geography.views.last_digit import states_at_last_digit, states_from_last_digit
from tests.helpers import refusal
from tokenization.characters import EOS_ID, PAD_ID, VOCABULARY, ColumnEncoder
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.probes.probe import extract_hidden_states

from ..probe_helpers import RADIUS_KM, places_deg, real_cities
from .view_helpers import linear_states, planted, unit


def true_km(cities):
    return haversine_distances(np.radians(places_deg(cities))) * RADIUS_KM


def without_diagonal(km_NN):
    return np.where(np.eye(len(km_NN), dtype=bool), np.nan, km_NN)


def error_km(cities, answer_km_NN):
    deg = behaviour.map_from(answer_km_NN, places_deg(cities))
    return great_circle_km(*deg.T, cities.lat_deg, cities.lon_deg)


# --- scaling


def test_all_true_distances_give_the_true_map_however_it_is_mirrored():
    cities = real_cities(60)
    assert error_km(cities, without_diagonal(true_km(cities))).max() < 1
    points = unit(cities) * [1, 1, -1]  # the mirror image has the same distances
    assert np.allclose(scaling.lay_onto(points + 5, unit(cities)), unit(cities))


def test_scaling_is_scikit_learns_where_all_is_known():
    rng = np.random.default_rng(0)
    chord = chord_of_km(true_km(real_cities(40))) * np.exp(rng.normal(0, 0.2, (40, 40)))
    chord = np.triu(chord, 1) + np.triu(chord, 1).T
    found = scaling.scale(chord, ~np.eye(40, dtype=bool))
    start = scaling.classical_scaling(chord)
    theirs, _ = smacof(
        chord, metric=True, n_components=3, init=start, n_init=1, max_iter=5000, eps=1e-12, normalized_stress=False
    )
    assert np.allclose(scaling.lay_onto(found, theirs), theirs, atol=0.01)


def test_unknown_distances_are_left_out():
    cities, rng = real_cities(60), np.random.default_rng(1)
    km = without_diagonal(true_km(cities))
    km[rng.random((60, 60)) < 0.4] = np.nan
    km[7] = km[:, 7] = np.nan  # a city of which no answer can be read
    off = error_km(cities, km)
    assert np.isnan(off[7]) and np.nanmax(off) < 20


def test_a_city_has_no_place_if_those_it_is_near_to_have_none():
    known = np.zeros((8, 8), bool)
    known[:6, :6] = ~np.eye(6, dtype=bool)
    known[6, :4] = known[:4, 6] = known[7, [0, 1, 6]] = known[[0, 1, 6], 7] = True
    assert scaling.placeable(known).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert len(scaling.placeable(known[:4, :4])) == 0


def test_independent_noise_is_averaged_out():
    cities, rng = real_cities(120), np.random.default_rng(2)
    km = without_diagonal(np.clip(true_km(cities) + rng.normal(0, 100, (120, 120)), 0, 20_015))
    assert error_km(cities, km).mean() < 30


# --- coherence


def test_symmetry_and_triangles_are_counted_as_by_hand(monkeypatch):
    rng = np.random.default_rng(3)
    km = without_diagonal(rng.integers(1, 20_000, (9, 9)).astype(float))
    km[0, 1] = km[1, 0] = km[2, 3] = np.nan
    pairs = [(i, j) for i in range(9) for j in range(i) if not np.isnan(km[i, j] + km[j, i])]
    found = coherence.asymmetry(km)
    gaps = [abs(km[i, j] - km[j, i]) for i, j in pairs]
    assert found["asymmetry_km_mean"].value == pytest.approx(np.mean(gaps)) and found["asymmetry_share"].value == 1
    assert found["asymmetry_km_mean"].n == len(pairs) == 34
    mean = coherence.both_ways(km)
    assert mean[2, 3] == mean[3, 2] == km[3, 2] and np.isnan(mean[0, 1])
    corners = [(i, j, k) for i in range(9) for j in range(i) for k in range(j)]
    known = [corner for corner in corners if not np.isnan(mean[list(corner), np.roll(corner, -1)]).any()]
    sides = [sorted((mean[i, j], mean[j, k], mean[k, i])) for i, j, k in known]
    expected = np.mean([c > a + b for a, b, c in sides])
    monkeypatch.setattr(resampling, "RESAMPLES", 5)
    monkeypatch.setattr(coherence, "draw_counts", lambda n: resampling.draw_counts(n, 5))
    found = coherence.triangles(mean)
    assert found["triangle_share"].value == pytest.approx(expected, abs=0.01)  # 50,000 drawn of 84
    over = [c - a - b for a, b, c in sides if c > a + b]
    assert found["triangle_excess_km_mean"].value == pytest.approx(np.mean(over), rel=0.03)


def test_rounding_violates_nothing():
    km = without_diagonal(np.rint(true_km(real_cities(50))))
    km[1] = km[:, 1] = km[0]  # two cities in one place
    found = coherence.coherence(without_diagonal(km))
    assert found["triangle_share"].value == 0 and found["asymmetry_km_mean"].value == 0


def test_the_interval_over_cities_is_wider_than_that_of_independent_pairs():
    """Pairs share cities: with an effect of each city, the variance of the mean goes with cities, not pairs."""
    rng, n = np.random.default_rng(4), 60
    means = []
    for _ in range(100):
        effect = rng.normal(size=n)
        means.append(coherence.mean_over_pairs(without_diagonal(effect[:, None] + effect)).value)
    effect = rng.normal(size=n)
    low, high = coherence.mean_over_pairs(without_diagonal(effect[:, None] + effect)).interval
    assert high - low == pytest.approx(2 * 1.96 * np.std(means), rel=0.35)


def test_the_interval_of_a_median_holds_it():
    low, high = resampling.bootstrap_median(np.arange(101.0))
    assert low < 50 < high and high - low == pytest.approx(2 * 1.96 * 0.5 * np.sqrt(101), rel=0.3)


# --- planted models


def answers_by(km_of):
    """A generation that reads both ids in a prompt and answers what `km_of` says."""

    def generate(model, ids_NT, prompt_len_N, most, batch_size):
        prompts = ColumnEncoder(VOCABULARY).decode(ids_NT[:, 1:])
        pairs = [[int(part[2:]) for part in prompt[5:].split(")")[0].split(",")] for prompt in prompts]
        texts = [km_of(i, j) for i, j in pairs]
        encoded = ColumnEncoder(VOCABULARY).encode([""] * len(texts), texts)
        answers = np.full((len(texts), most), PAD_ID)
        for row, (ids, text) in enumerate(zip(encoded.ids_NT, texts, strict=True)):
            answers[row, : len(text) + 1] = [*ids[1 : len(text) + 1], EOS_ID]
        return answers

    return generate


@pytest.fixture
def looked(tmp_path, monkeypatch):
    def look(km_of=None, n=120, states=linear_states, **options):
        inspected, cities = planted(tmp_path, n)
        km = np.rint(true_km(cities)).astype(int)
        monkeypatch.setattr(behaviour, "generate_answers", answers_by(km_of or (lambda i, j: str(km[i, j]))))
        states_NLTD = np.random.default_rng(9).normal(size=(n, 3, 4, 16))
        states_NLTD[:, 1, 2] = states(cities)  # elsewhere is nothing
        monkeypatch.setattr(behaviour, "states_from_last_digit", lambda *args: states_NLTD)
        monkeypatch.setattr(coherence, "TRIANGLES", 500)
        return behaviour.Behaviour(behaviour.BehaviourOptions(**options)).look(inspected)

    return look


def test_a_model_that_knows_all_is_perfect_and_the_same_answers_shuffled_are_worthless(looked):
    found = looked(sample=40)
    metrics = found.metrics
    assert metrics["cities"] == 40 and metrics["unreadable_answers"] == 0
    assert metrics["answers_map_error_km_mean"] == metrics["rounded_map_error_km_mean"] < 1
    assert metrics["probe_map_error_km_mean"] < 1
    assert (metrics["probe_block"], metrics["probe_tokens_behind"]) == (2, 2)
    assert found.lines[1] == "the probe reads block 2; tokens behind the last digit: 2"
    assert metrics["shuffled_map_error_km_mean"] > 4_000
    assert metrics["answers_triangle_share"] == 0 and metrics["shuffled_triangle_share"] > 0.05
    assert metrics["answers_asymmetry_km_mean"] == 0 and metrics["shuffled_asymmetry_km_mean"] > 3_000
    for name in [name for name in metrics if name.endswith("_from")]:
        assert metrics[name] <= metrics[name.removesuffix("_from")] <= metrics[name.replace("_from", "_to")]
    assert len(found.tables["cities"]) == 40 and [row["source"] for row in found.tables["behaviour"]] == [
        *("answers", "shuffled", "rounded", "probe")
    ]
    for draw in found.figures.values():
        draw().savefig("/dev/null", format="png", dpi=20)


def test_the_sample_is_seeded_and_at_most_half_of_the_world(looked):
    assert looked(n=30).metrics["cities"] == 15
    one, same, other = (looked(sample=20, sample_seed=seed).tables["cities"] for seed in (1, 1, 2))
    ids = [[row["city_id"] for row in rows] for rows in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_a_head_that_knows_nothing_is_worse_than_the_mouth(looked):
    noise = np.random.default_rng(0)
    metrics = looked(sample=40, states=lambda cities: noise.normal(size=(len(cities), 16))).metrics
    assert metrics["answers_minus_probe_km_mean"] < metrics["answers_minus_probe_km_mean_to"] < -4_000


def test_answers_that_cannot_be_read_are_counted_and_left_out(looked):
    found = looked(lambda i, j: "0" if i == j else ("07" if (i + j) % 3 else "769"), sample=40)
    assert 0 < found.metrics["unreadable_answers"] < 40 * 39
    assert any("cannot be read" in line for line in found.lines)
    found = looked(lambda i, j: "", sample=40)
    assert found.metrics["unreadable_answers"] == 40 * 39 and "answers_map_error_km_mean" not in found.metrics
    assert "behaviour_map.png" not in found.figures and any("no map" in line for line in found.lines)
    assert all(np.isfinite(value) for value in found.metrics.values())
    found.figures["behaviour_errors.png"]()


def test_a_world_of_few_cities_is_refused(looked):
    with refusal("8", "larger"):
        looked(n=8)


def test_states_are_those_of_the_prompt_that_the_probe_shows(tmp_path):
    inspected, cities = planted(tmp_path, 6)
    model = tiny_decoder()
    found = states_from_last_digit(model, inspected.task, inspected.data, cities)
    whole = extract_hidden_states(model, [f"dist(c_{city},c_" for city in cities.city_id.tolist()], [1, 2], 4)
    np.testing.assert_array_equal(found, whole)
    digit = states_at_last_digit(model, inspected.task, inspected.data, cities, 2)
    np.testing.assert_allclose(found[:, 1, 0], digit, rtol=1e-4, atol=1e-5)


def tiny_decoder():
    sizes = DecoderOptions(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    return build_decoder(sizes, len(VOCABULARY), 32, {"pad_token_id": PAD_ID, "eos_token_id": EOS_ID}).eval()
