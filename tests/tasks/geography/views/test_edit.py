"""View `--edit`: models in which it is known what an edit must do, and the measures by themselves."""

import copy

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from sklearn.metrics.pairwise import haversine_distances

from tasks.geography.views import edit, edit_measures, edit_states
from tasks.geography.views.edit_model import answers_with
from tests.helpers import refusal
from tests.tasks.geography.probe_helpers import RADIUS_KM, dist_km, places_deg, real_cities, vectors_of
from tests.tasks.geography.views.edit_helpers import Planted, planted_world
from tokenization.characters import ColumnEncoder
from trainers import registry
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.probes.views import Inspected

FEW = edit.EditOptions(n_moved=6, n_partners=12)


def look(folder, chosen=FEW, **how):
    cities, data = planted_world(folder)
    view = edit.EditView(chosen)
    return view.look(Inspected(registry.load("distance"), data, Planted(cities, **how).eval(), None, 7))


# --- the view


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return look(tmp_path_factory.mktemp("planted"))


def test_a_planted_map_follows_every_edit_of_the_place_and_nothing_else(found):
    for city in ("first", "second"):
        for kind in ("swap", "encoder", "linear", "probe"):
            assert found.metrics[f"{city}_{kind}_followed"] == pytest.approx(1, abs=0.01), kind
            assert found.metrics[f"{city}_{kind}_arrived"] == pytest.approx(1, abs=0.01), kind
        for kind in ("none", "shuffled"):
            assert found.metrics[f"{city}_{kind}_followed"] == pytest.approx(0, abs=0.15), kind
        assert found.metrics[f"{city}_none_followed"] == found.metrics[f"{city}_none_unreadable"] == 0
        assert abs(found.metrics[f"{city}_random_arrived"]) < 0.3
        assert found.metrics[f"{city}_encoder_off_km"] < 20
    assert found.metrics["n_moved"] == 6 and found.metrics["n_partners"] == 12
    assert all(np.isfinite(value) for value in found.metrics.values())
    for row in found.tables["moved"]:
        assert row["n"] == 6 and row["followed_from"] <= row["followed"] <= row["followed_to"]


def test_a_model_that_does_not_use_its_map_follows_nothing(tmp_path):
    found = look(tmp_path, knows=False)
    followed = {name: value for name, value in found.metrics.items() if name.endswith(("_followed", "_arrived"))}
    assert len(followed) == 28 and max(map(abs, followed.values())) < 0.01


def test_what_is_edited_behind_the_reading_changes_nothing(tmp_path):
    rows = look(tmp_path, n_blocks=4).tables["blocks"]
    mine = [row for row in rows if (row["city"], row["token"]) == ("first", "last digit")]
    arrived = {(row["block"], row["edit"]): row["arrived"] for row in mine}
    assert arrived[1, "encoder"] > 0.99 and arrived[2, "swap"] > 0.99
    assert abs(arrived[3, "encoder"]) < 0.01 and abs(arrived[3, "swap"]) < 0.01


def test_a_map_behind_the_number_is_found_and_moved_there(tmp_path):
    found = look(tmp_path, behind=1)
    chosen = {row["city"]: row["token"] for row in found.tables["moved"]}
    assert chosen == {"first": ",", "second": ")"}
    for city in ("first", "second"):
        assert found.metrics[f"{city}_encoder_arrived"] == pytest.approx(1, abs=0.01)
        assert found.metrics[f"{city}_swap_arrived"] == pytest.approx(1, abs=0.01)
    elsewhere = [row for row in found.tables["blocks"] if row["token"] != chosen[row["city"]]]
    assert {row["edit"] for row in elsewhere} == {"encoder"}
    assert max(abs(row["arrived"]) for row in elsewhere) < 0.01
    assert "`,`" in found.figures["blocks.png"]().axes[0].get_title("left")


def test_a_linear_map_is_left_by_neither_way_and_equal_seeds_give_equal_tables(found, tmp_path):
    assert {row["way"] for row in found.tables["path"]} == {"along the sphere", "straight"}
    assert max(row["off_km"] for row in found.tables["path"]) < 100
    again = look(tmp_path)
    assert found.metrics == again.metrics and found.tables == again.tables
    assert found.figures["blocks.png"]().axes[0].get_lines()
    assert found.lines[0].startswith("6 cities moved;")


def test_fewer_cities_than_asked_for_is_said(tmp_path):
    found = look(tmp_path, edit.EditOptions(n_moved=500, n_partners=3))
    assert f"{found.metrics['n_moved']:.0f} cities moved (500 were asked for" in found.lines[0]


def test_what_is_fitted_has_never_seen_a_city_that_is_moved_and_targets_are_as_far_as_they_should_be():
    place = vectors_of(places_deg(real_cities(120)))
    drawn = edit.draw(place, FEW)
    parts = [set(drawn.fit.tolist()), set(drawn.choice[0].tolist()), set(drawn.moved[0].tolist())]
    assert len(set.union(*parts)) == sum(map(len, parts)) and len(parts[2]) == 6
    for own, target, partners in (drawn.choice, drawn.moved):
        km = haversine_to(place, own, target)
        assert (km >= 999).all() and (km <= 5001).all()
        assert not (partners == target[:, None]).any() and set(partners.ravel().tolist()) <= parts[0]


def haversine_to(place, own, target):
    deg = np.degrees([np.arcsin(place[:, 2]), np.arctan2(place[:, 1], place[:, 0])]).T
    return dist_km(deg[own], deg[target])


def test_a_world_too_small_and_a_model_of_one_block_are_refused(tmp_path):
    with refusal("--edit", "20", "4"):
        edit.draw(vectors_of(places_deg(real_cities(4))), FEW)
    with refusal("--edit", "two"):
        look(tmp_path, n_blocks=1)


# --- the edit of transformers' own pass


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(3)
    sizes = DecoderOptions(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return build_decoder(DecoderOptions(**{**vars(sizes), "init_scale": 0.3}), 44, 32, special).eval()


def test_its_own_state_changes_no_answer_another_does_and_the_model_is_left_as_it_was(decoder):
    from trainers.probes.probe import extract_hidden_states

    prefixes = [f"dist(c_{n}" for n in (3, 17, 18, 250, 4, 999)]
    prompts, token = [f"{prefix},c_21)=" for prefix in prefixes], np.array([len(prefix) for prefix in prefixes])
    weights = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    own = extract_hidden_states(decoder, prefixes, [1, 2], 1)[:, :, 0]
    plain, before = answers_with(decoder, prompts, token, {}, 5), hooks(decoder)
    assert answers_with(decoder, prompts, token, {1: own[:, 0], 2: own[:, 1]}, 5) == plain
    away = own + 100 * np.random.default_rng(0).normal(size=own.shape)
    assert answers_with(decoder, prompts, token, {1: away[:, 0]}, 5) != plain
    assert answers_with(decoder, prompts, token, {3: away[:, 1]}, 5) == plain  # nothing reads the last block there
    assert hooks(decoder) == before
    assert all(torch.equal(weights[name], tensor) for name, tensor in decoder.state_dict().items())
    assert answers_with(decoder, prompts, token, {}, 5) == plain


def test_an_edit_is_what_the_later_blocks_make_of_the_edited_states(decoder):
    later = copy.deepcopy(decoder)
    later.model.layers = later.model.layers[1:]
    later.config.num_hidden_layers = 2
    ids = torch.from_numpy(ColumnEncoder().encode(["dist(c_3,c_21)="], [""]).ids_NT[:, :-1]).long()
    for seed in range(5):
        state = 3 * np.random.default_rng(seed).normal(size=(1, 16))
        with torch.no_grad():
            hidden = decoder(ids, output_hidden_states=True).hidden_states[1].clone()
            hidden[0, 8] = torch.from_numpy(state[0]).float()
            expected = later(inputs_embeds=hidden, use_cache=False).logits[:, -1].argmax(dim=-1)
        answer = answers_with(decoder, ["dist(c_3,c_21)="], np.array([8]), {1: state}, 1)
        assert answer == ColumnEncoder().decode(expected.numpy()[:, None])


def test_hooks_are_gone_after_an_error(decoder):
    before = hooks(decoder)
    with pytest.raises(RuntimeError):
        answers_with(decoder, ["dist(c_3,c_21)="], np.array([8]), {1: np.zeros((1, 5), np.float32)}, 5)
    assert hooks(decoder) == before


def hooks(model):
    """Those of every block; transformers keeps some of its own once it has returned hidden states."""
    return [list(layer._forward_hooks) for layer in model.model.layers]


# --- states


def test_the_probes_move_is_the_shortest_that_decodes_the_target():
    rng = np.random.default_rng(4)
    probe = edit_states.PlaceProbe(rng.normal(size=(3, 10)), rng.normal(size=3))
    states, target = rng.normal(size=(6, 10)), rng.normal(size=(6, 3))
    moved = probe.move(states, target)
    np.testing.assert_allclose(probe.decode(moved), target, atol=1e-10)
    shortest = np.linalg.lstsq(probe.weights_3D, (target - probe.decode(states)).T, rcond=None)[0].T
    np.testing.assert_allclose(moved - states, shortest, atol=1e-10)


def test_harmonics_are_orthonormal_and_blind_to_length():
    from scipy.integrate import lebedev_rule

    points, weight = lebedev_rule(19)
    features = edit_states.harmonics(points.T, 4)
    assert features.shape[1] == 24
    np.testing.assert_allclose((features * weight[:, None]).T @ features, np.eye(24), atol=1e-10)
    np.testing.assert_allclose(edit_states.harmonics(3 * points.T, 4), features, atol=1e-12)


def test_the_encoder_finds_a_curved_map_and_its_degree():
    place = vectors_of(places_deg(real_cities(400)))
    states = edit_states.harmonics(place, 4) @ np.random.default_rng(2).normal(size=(24, 20))
    encode, degree = edit_states.fit_encoder(states[:300], place[:300])
    assert degree == 4
    np.testing.assert_allclose(encode(place[300:]), states[300:], atol=1e-2)


def test_a_random_move_is_as_long_as_its_model_and_the_same_for_a_city_in_every_prompt():
    rng = np.random.default_rng(0)
    states, place = rng.normal(size=(6, 8)), np.repeat(vectors_of(np.array([[10, 20], [30, 40.0]])), 3, axis=0)
    like = states + rng.normal(size=states.shape)
    step = edit_states.random_moves(states, like, place) - states
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), np.linalg.norm(like - states, axis=1))
    unit = step / np.linalg.norm(step, axis=1, keepdims=True)
    np.testing.assert_allclose(unit[:3], unit[[0, 0, 0]])
    assert not np.allclose(unit[0], unit[3])


def test_the_way_along_the_sphere_is_the_rotation_from_one_place_to_the_other():
    one, other = vectors_of(np.array([[10.0, 20.0]])), vectors_of(np.array([[40.0, -30.0]]))
    turn = Rotation.align_vectors(other, one)[0]
    steps = Slerp([0, 1], Rotation.concatenate([Rotation.identity(), turn]))
    for share in (0.25, 0.5, 1.0):
        np.testing.assert_allclose(
            edit_states.along_sphere(one, other, share), steps(share).apply(one[0])[None], atol=1e-6
        )


# --- measures


def test_answers_that_move_as_distances_do_have_followed():
    before, own = np.array([[1000.0, 2000, 3000]] * 4), np.array([[1000.0, 2000, 3000]] * 4)
    target = own + np.array([2000, -1500, 100])  # the third partner says nothing
    after = np.stack([target[0], own[0], (own + target)[0] / 2, np.full(3, np.nan)])
    shares = edit_measures.shares_followed(before, after, own, target)
    np.testing.assert_allclose(shares, [1, 0, 0.5, 0])
    assert edit_measures.shares_followed(before, after, own, own + 100).tolist() == [0, 0, 0, 0]


def test_places_are_found_by_their_distances_alone_even_if_some_are_wrong():
    deg = places_deg(real_cities(45))
    partners = np.broadcast_to(vectors_of(deg[5:]), (5, 40, 3))
    answers = haversine_distances(np.radians(deg[:5]), np.radians(deg[5:])) * RADIUS_KM
    answers[:, :4] = [3000, 9000, 40, np.nan]
    found = edit_measures.place_by_answers(answers, partners)
    assert edit_measures.angles_km(found, vectors_of(deg[:5])).max() < 30
    answers[0, 2:] = np.nan
    assert np.isnan(edit_measures.place_by_answers(answers, partners)[0]).all()


def test_a_place_that_was_not_found_has_not_arrived_and_is_as_far_off_as_can_be():
    one, other = vectors_of(np.array([[0.0, 0.0]] * 3)), vectors_of(np.array([[0.0, 20.0]] * 3))
    found = np.stack([other[0], one[0], np.full(3, np.nan)])
    arrived, off_km = edit_measures.shares_of_way(found, one, other)
    np.testing.assert_allclose(arrived, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(off_km, [0, np.radians(20) * RADIUS_KM, np.pi * RADIUS_KM], atol=1e-6)
