"""The metric of random_walk against a slow one, and how answers are read."""

import evaluate
import numpy as np
import pytest

from geo.cities import Cities
from tasks.geography.random_walk.answers import parse_walk
from tasks.geography.random_walk.metric import WalkLegality, step_legality
from tasks.geography.random_walk.trainer import _places, _share
from tests.helpers import refusal

from .walk_helpers import SPHERE

# --- metric


@pytest.fixture(scope="module")
def table():
    """A table of cities whose ids are neither sorted nor the numbers of its rows."""
    rng = np.random.default_rng(0)
    lat_deg, lon_deg = np.degrees(np.arcsin(rng.uniform(-1, 1, 40))), rng.uniform(-180, 180, 40)
    return {"city_id": rng.permutation(2000)[:40], "lat_deg": lat_deg, "lon_deg": lon_deg}


def some_walks(table, n_walks, seed):
    """Walks of all kinds: legal and not, back and forth, over ids that do not exist, and unreadable ones."""
    rng = np.random.default_rng(seed)
    ids = [*table["city_id"].tolist(), 5000, 999_999_999]
    return [[ids[row] for row in rng.integers(len(ids), size=rng.integers(9))] for _ in range(n_walks)]


def slow_steps(walk, table, radius_km):
    """Whether each step is legal, one after the other, by pyproj."""
    place = {
        int(city): (lon, lat)
        for city, lat, lon in zip(table["city_id"], table["lat_deg"], table["lon_deg"], strict=True)
    }
    legal = []
    for number in range(1, len(walk)):
        here, there = walk[number - 1], walk[number]
        exists = here in place and there in place
        near = exists and SPHERE.inv(*place[here], *place[there])[2] / 1000 <= radius_km
        legal.append(bool(near and there not in walk[:number]))
    return legal


@pytest.mark.parametrize("radius_km", [500, 6000, 12_000, 20_016])
def test_the_metric_is_the_slow_one(table, radius_km):
    predicted, true = some_walks(table, 400, 1), [walk or [5] for walk in some_walks(table, 400, 2)]
    legal = [slow_steps(walk, table, radius_km) for walk in predicted]
    found = step_legality(predicted, **table, radius_km=radius_km)
    assert [steps.tolist() for steps in found] == legal
    unread = sum(not walk for walk in predicted)
    all_steps = [step for steps in legal for step in steps] + [False] * unread
    metrics = WalkLegality().compute(predictions=predicted, references=true, **table, radius_km=radius_km)
    assert unread > 20 and 0 < sum(all_steps) < len(all_steps)
    assert metrics == pytest.approx(
        {
            "legal_steps": sum(all_steps) / len(all_steps),
            "legal_walks": sum(bool(w) and all(s) for w, s in zip(predicted, legal, strict=True)) / 400,
            "length_mean": sum(map(len, predicted)) / 400,
            "parse_rate": 1 - unread / 400,
            "expected_length_mean": sum(map(len, true)) / 400,
        }
    )


LINE = {"city_id": np.array([8, 3, 5, 9]), "lat_deg": np.zeros(4), "lon_deg": np.array([0.0, 1.0, 2.0, 50.0])}


@pytest.mark.parametrize(
    ("walk", "legal"),
    [
        ([8], []),
        ([], []),
        ([8, 3, 5], [True, True]),
        ([8, 5], [False]),  # 222 km
        ([8, 3, 8], [True, False]),
        ([8, 8], [False]),
        ([8, 4, 3], [False, False]),  # there is no 4 to go to, nor to come from
        ([4, 8], [False]),
        ([8, 999_999_999], [False]),
        ([8, 0, 0], [False, False]),
        ([8, 9, 3, 5], [False, False, True]),
    ],
)
def test_steps_that_are_legal_and_steps_that_are_not(walk, legal):
    before, after = [3, 8], [5, 3]  # a walk's first city is new even if others have been there
    found = step_legality([before, walk, [], after], **LINE, radius_km=112)
    assert [steps.tolist() for steps in found] == [[True], legal, [], [True]]


def test_a_city_exactly_on_the_radius_counts():
    one_degree_km = np.pi * 6371 / 180
    assert step_legality([[8, 3]], **LINE, radius_km=one_degree_km)[0].all()
    assert not step_legality([[8, 3]], **LINE, radius_km=one_degree_km - 1e-6)[0].any()


def test_answers_that_cannot_be_read_count_as_one_illegal_step_each():
    reference = [[8, 3]] * 4
    found = WalkLegality().compute(predictions=[[8, 3], [], [5], []], references=reference, **LINE, radius_km=112)
    assert found == {
        "legal_steps": pytest.approx(1 / 3),
        "legal_walks": 0.5,
        "length_mean": 0.75,
        "parse_rate": 0.5,
        "expected_length_mean": 2,
    }
    nothing = WalkLegality().compute(predictions=[[]] * 4, references=reference, **LINE, radius_km=112)
    assert nothing["legal_steps"] == nothing["legal_walks"] == nothing["parse_rate"] == nothing["length_mean"] == 0


def test_walks_without_a_step_have_no_legal_step_but_are_legal():
    found = WalkLegality().compute(predictions=[[8], [3]], references=[[8], [3]], **LINE, radius_km=112)
    assert (found["legal_steps"], found["legal_walks"], found["parse_rate"]) == (0, 1, 1)


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/geography/random_walk/metric.py")
    found = metric.compute(predictions=[[8, 3, 5], [8, 5]], references=[[8], [8]], **LINE, radius_km=112)
    assert found["legal_steps"] == pytest.approx(2 / 3) and found["legal_walks"] == 0.5
    with pytest.raises(ValueError, match="no predictions"):
        metric.compute(predictions=[], references=[], **LINE, radius_km=112)


# --- answers


@pytest.mark.parametrize(
    ("answer", "walk"),
    [
        ("", [12]),
        (",c_1", [12, 1]),
        (",c_1,c_2", [12, 1, 2]),
        (",c_0", [12, 0]),
        (",c_12,c_12", [12, 12, 12]),
        (",c_5075,c_999999999", [12, 5075, 999_999_999]),
    ],
)
def test_answers_that_are_walks_are_read_from_the_start_on(answer, walk):
    assert parse_walk("srd_200=c_12", answer) == walk


@pytest.mark.parametrize(
    "answer",
    [
        "c_1", ",c_01", ",c_00", ",c_1,", ",c_", ",c_1 ", " ,c_1", ",c_1\n", "\n", ",", ",,c_1", ",c_1c_2", ",c_1,c_",
        ",c_-1", ",c_+1", ",c_1.0", ",c_1_0", ",d_1", ",C_1", ",c1", ",c_٣",
        ",c_1٣", ",c_²", ",c_1;c_2", "(((", ",c_a",
        ",c_" + "9" * 5000,
    ],
)  # fmt: skip
def test_answers_that_are_no_walks_are_failures(answer):
    assert parse_walk("srd_200=c_12", answer) == []


@pytest.mark.parametrize("prompt", ["", "srd_200=", "srd_200=c_12,c_1", "dist(c_1,c_2)=", "srd_=c_1"])
def test_a_prompt_of_another_task_is_an_error(prompt):
    with refusal("random_walk", of=ValueError):
        parse_walk(prompt, ",c_1")


def test_the_share_of_one_walk_is_that_of_its_steps_and_0_if_it_cannot_be_read():
    assert _share([8, 3, 5, 9], np.array([True, True, False])) == pytest.approx(2 / 3)
    assert _share([8], np.zeros(0, bool)) == 1 and _share([], np.zeros(0, bool)) == 0


def test_places_of_a_walk_are_those_of_its_ids_and_nan_where_no_city_is():
    n = len(LINE["city_id"])
    cities = Cities(**LINE, name=("",) * n, country=("",) * n, population=np.full(n, -1))
    np.testing.assert_array_equal(_places(cities, [9, 8, 0, 3]), [[0, 50], [0, 0], [np.nan, np.nan], [0, 1]])
    assert _places(cities, []).shape == (0, 2)
