"""Questions about cities: rows that are apart, balanced, deterministic, and right by independent sources."""

import importlib
import itertools
import re
from dataclasses import replace

import evaluate
import numpy as np
import pytest
from pyproj import Geod
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    jaccard_score,
    mean_absolute_error,
    median_absolute_error,
)

from geo.cities import load_cities
from geo.sphere import EARTH_RADIUS_KM, mean_centre
from tasks.geography.choice_metric import ChoiceAccuracy
from tasks.geography.cities_metric import CityOverlap, overlaps
from tasks.geography.compass.data import sector_of
from tasks.geography.growing import order_of_joining
from tasks.geography.number_metric import NumberError
from tasks.geography.question_answers import explain_numbers, parse_cities, parse_number
from tasks.geography.world import QuestionOptions
from tests.helpers import digests, refusal
from trainers.contract import StoredDataset

NUMBERS, CHOICES = ("angle", "triangle_area", "perimeter"), ("compass", "inside", "crossing", "nearest", "center")
SIZES = {"n_cities": 60, "n_train": 900, "n_val": 60, "n_test": 120}
GEOD = Geod(a=EARTH_RADIUS_KM * 1000, b=EARTH_RADIUS_KM * 1000)


@pytest.fixture(scope="module")
def world():
    return load_cities(n_cities=60)


@pytest.fixture
def build(world, monkeypatch):
    """Builds a task's dataset in this module's world, without loading it each time."""
    monkeypatch.setattr("tasks.geography.questions.load_world", lambda options: world)

    def built(task, **options):
        return module(task).build(QuestionOptions(**{**SIZES, **options}))

    return built


def module(task):
    return importlib.import_module(f"tasks.geography.{task}.data")


def asked(row):
    return [int(number) for number in re.findall(r"c_(\d+)", row["prompt"])]


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_no_set_of_cities_is_asked_about_twice_in_any_order(task, build):
    splits = build(task).splits
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 900, "test": 120, "validation": 60}
    sets = [tuple(sorted(asked(row))) for rows in splits.values() for row in rows]
    assert len(set(sets)) == len(sets)
    assert all(len(set(of)) == len(of) for of in sets)


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_equal_options_give_equal_rows_and_evaluated_ones_stay(task, build):
    assert digests(build(task).splits) == digests(build(task).splits) != digests(build(task, dataset_seed=1).splits)
    fewer, more = digests(build(task, n_train=300).splits), digests(build(task).splits)
    assert fewer["test"] == more["test"] and fewer["validation"] == more["validation"]


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_dense_rows_are_further_ones_of_the_first_cities_alone(task, build, world):
    plain, dense = build(task).splits, build(task, dense="14:200").splits
    assert digests({"test": plain["test"], "val": plain["validation"]}) == digests(
        {"test": dense["test"], "val": dense["validation"]}
    )
    sets = [tuple(sorted(asked(row))) for rows in dense.values() for row in rows]
    assert len(set(sets)) == len(sets)
    first = set(world.city_id[order_of_joining(world)[:14]].tolist())
    sets_of = [{tuple(sorted(asked(row))) for row in rows["train"]} for rows in (plain, dense)]
    more = sets_of[1] - sets_of[0]
    assert sets_of[0] <= sets_of[1] and 0 < len(more) <= 200 and all(first.issuperset(of) for of in more)
    assert len(more) == 200 or task not in ("angle", "triangle_area")  # others have fewer sets


@pytest.mark.parametrize("wrong", ["100", "4:10", "61:10", "12:0", "12:300,20:300"])
def test_a_dense_part_that_is_none_is_refused(wrong, build):
    with refusal("--dense", wrong):
        build("angle", dense=wrong)


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_the_columns_hold_the_cities_of_the_prompt(task, build):
    for row in build(task).splits["test"]:
        cities = [row[name] for name in ("city_a", "city_b", "city_c", "city_d", "city_e") if row.get(name) is not None]
        assert cities == asked(row)


@pytest.mark.parametrize("task", ["inside", "crossing"])
def test_both_answers_are_equally_frequent_for_every_number_of_cities(task, build):
    for rows in build(task).splits.values():
        kinds = rows["kind"][:] if "kind" in rows.column_names else ["all"] * len(rows)
        for kind in set(kinds):
            answers = [answer for answer, of in zip(rows["answer"], kinds, strict=True) if of == kind]
            assert answers.count("true") == answers.count("false") == len(answers) / 2


def test_every_number_of_cities_is_asked_about_equally_often(build):
    kinds = build("perimeter").splits["train"]["kind"][:]
    assert {kind: kinds.count(kind) for kind in kinds} == {f"{n}_cities": 225 for n in (2, 3, 4, 5)}


def test_numbers_are_right(build, world):
    place = {int(city): (lon, lat) for city, lon, lat in zip(world.city_id, world.lon_deg, world.lat_deg, strict=True)}

    def km(*cities):
        return GEOD.line_length(*zip(*(place[city] for city in cities), strict=True)) / 1000

    for row in build("perimeter").splits["train"]:
        cities = asked(row)
        assert abs(int(row["answer"]) - (km(*cities) if len(cities) == 2 else km(*cities, cities[0]))) <= 0.501
    for row in build("angle").splits["train"]:
        a, vertex, c = (place[city] for city in asked(row))
        turn = abs(GEOD.inv(*vertex, *a)[0] - GEOD.inv(*vertex, *c)[0]) % 360
        assert abs(int(row["answer"]) - min(turn, 360 - turn)) <= 0.501
    for row in build("triangle_area").splits["train"]:
        area = abs(GEOD.polygon_area_perimeter(*zip(*(place[city] for city in asked(row)), strict=True))[0]) / 1e9
        assert abs(int(row["answer"]) - area) <= 0.501


def test_directions_are_right(build, world):
    place = {int(city): (lon, lat) for city, lon, lat in zip(world.city_id, world.lon_deg, world.lat_deg, strict=True)}
    middle = dict(zip(("n", "ne", "e", "se", "s", "sw", "w", "nw"), range(0, 360, 45), strict=True))
    for row in build("compass").splits["train"]:
        bearing = GEOD.inv(*place[asked(row)[0]], *place[asked(row)[1]])[0]
        assert abs((bearing - middle[row["answer"]] + 180) % 360 - 180) <= 22.5 + 1e-6


def test_sectors_are_centred_on_their_directions():
    assert sector_of(np.array([0, 22.4, 22.5, 45, 337.4, 337.5, 359.9])).tolist() == [0, 0, 1, 1, 7, 0, 0]


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_the_plane_gives_other_answers_to_the_same_kind_of_question(task, build):
    flat, round_ = build(task, geometry="plane"), build(task)
    assert flat.splits["train"].column_names == round_.splits["train"].column_names
    assert digests(flat.splits)["train"] != digests(round_.splits)["train"]


def test_cities_at_one_place_are_not_asked_about(monkeypatch, world):
    twins = world.take(np.array([0, 0, *range(1, 30)]))
    twins = replace(twins, city_id=np.arange(len(twins)))
    monkeypatch.setattr("tasks.geography.questions.load_world", lambda options: twins)
    rows = module("angle").build(QuestionOptions(n_train=2_000, n_val=8, n_test=8)).splits["train"]
    assert not any({0, 1} <= set(asked(row)) for row in rows)
    assert any(0 in asked(row) for row in rows) and any(1 in asked(row) for row in rows)


@pytest.mark.parametrize("task", [*NUMBERS, *CHOICES])
def test_with_invented_cities_every_row_is_about_one_or_more(task):
    options = {**SIZES, "regions": "35,-35", "n_atlantis": 10, "n_train": 400}
    built = module(task).build(QuestionOptions(**options, real_ratio=0.5))
    invented = set(range(60, 70))
    is_about = {name: [bool(invented & set(asked(row))) for row in rows] for name, rows in built.splits.items()}
    assert all(is_about["test"]) and all(is_about["validation"])
    assert is_about["train"].count(True) == is_about["train"].count(False) == 400
    sets = [tuple(sorted(asked(row))) for rows in built.splits.values() for row in rows]
    assert len(set(sets)) == len(sets)
    assert built.facts["world"]["invented"] == 10


def test_the_world_is_that_of_the_pairs_about_it():
    from tasks.geography.atlantis_cross import AtlantisCrossOptions
    from tasks.geography.atlantis_cross.data import build as build_pairs

    sizes = {**SIZES, "regions": "35,-35 0,80", "n_atlantis": 20}
    pairs, angles = build_pairs(AtlantisCrossOptions(**sizes)), module("angle").build(QuestionOptions(**sizes))
    assert [pairs.facts[name] for name in ("world", "worlds")] == [angles.facts[name] for name in ("world", "worlds")]


def test_a_plane_is_another_world(build):
    flat, round_ = build("angle", geometry="plane"), build("angle")
    assert not set(flat.facts["worlds"]) & set(round_.facts["worlds"])
    assert round_.facts["worlds"] == [round_.facts["world"]["sha256"]]


def test_a_world_with_fewer_cities_than_a_question_names_is_refused(monkeypatch, world):
    monkeypatch.setattr("tasks.geography.questions.load_world", lambda options: world.take(np.arange(4)))
    with refusal("5 of 4 cities", "ask for fewer"):
        module("center").build(QuestionOptions(n_train=3, n_val=1, n_test=1))


def test_real_rows_without_invented_ones_are_refused(build):
    with refusal("--real_ratio", "--regions"):
        build("angle", real_ratio=0.5)


def test_more_rows_than_there_are_are_refused(build):
    with refusal("2 of 60 cities", "ask for fewer"):
        build("compass", n_train=60 * 59 // 2)
    with refusal("4 of 60 cities with the answer true", "ask for fewer"):
        build("crossing", n_train=600_000)


def test_the_trivial_answer_is_the_median_of_as_many_cities_or_the_most_common(build):
    built = build("perimeter")
    train, test = (built.splits[name].to_pandas() for name in ("train", "test"))
    median = train["answer"].astype(float).groupby(train["kind"]).median()
    expected = mean_absolute_error(test["answer"].astype(float), test["kind"].map(median))
    assert built.facts["baselines"]["test"]["abs_error_mean"] == pytest.approx(expected)
    built = build("compass")
    most = max(set(built.splits["train"]["answer"]), key=built.splits["train"]["answer"][:].count)
    test = built.splits["test"]["answer"][:]
    assert built.facts["baselines"]["test"]["accuracy"] == test.count(most) / len(test)


def test_near_and_central_cities_are_right(build, world):
    place = {int(city): (lon, lat) for city, lon, lat in zip(world.city_id, world.lon_deg, world.lat_deg, strict=True)}

    def away(one, other):
        return GEOD.inv(*one, *other)[2]

    for row in build("nearest").splits["train"]:
        first, *others = asked(row)
        expected = sorted(others, key=lambda city: away(place[first], place[city]))[:2]
        assert row["answer"] == ",".join(f"c_{city}" for city in expected)
    for row in build("center").splits["train"]:
        cities = asked(row)
        lat, lon = mean_centre(*np.array([place[city][::-1] for city in cities]).T)
        assert row["answer"] == f"c_{min(cities, key=lambda city: away((lon, lat), place[city]))}"


def test_the_trivial_cities_are_those_named_first(build):
    near, middle = build("nearest"), build("center")
    expected = overlaps(
        [f"c_{b},c_{c}" for _, b, c, *_ in map(asked, near.splits["test"])], near.splits["test"]["answer"]
    )
    assert near.facts["baselines"]["test"]["jaccard_mean"] == pytest.approx(expected.mean())
    first = [f"c_{asked(row)[0]}" == row["answer"] for row in middle.splits["test"]]
    assert middle.facts["baselines"]["test"]["jaccard_mean"] == pytest.approx(np.mean(first))


# --- metrics and answers


def test_the_metric_of_cities_is_scikit_learns():
    rng = np.random.default_rng(2)
    sets = [[rng.choice(6, size=2, replace=False) for _ in range(50)] for _ in range(2)]
    texts = [[f"c_{a},c_{b}" for a, b in of] for of in sets]
    is_named = [np.array([np.isin(np.arange(6), pair) for pair in of]) for of in sets]
    scores = evaluate.load("tasks/geography/cities_metric.py").compute(predictions=texts[0], references=texts[1])
    assert scores["jaccard_mean"] == pytest.approx(jaccard_score(is_named[1], is_named[0], average="samples"))
    assert scores["exact_match"] == pytest.approx(np.mean([a == b for a, b in zip(*texts, strict=True)]))
    failed = CityOverlap().compute(predictions=["c_1,c_1", "c_2,c_1"], references=["c_1,c_2", "c_1,c_2"])
    assert failed == {"jaccard_mean": 0.5, "exact_match": 0.0, "parse_rate": 0.5}


@pytest.mark.parametrize("text", ["", "c_", "c_01", "c_1,", ",c_1", "c_1,c_1", "c_1;c_2", "1,2", "c_1, c_2", "c_-1"])
def test_what_names_no_cities_is_no_answer(text):
    assert parse_cities(text) == []


def test_the_metric_of_numbers_is_scikit_learns_with_failures_at_their_worst():
    rng = np.random.default_rng(0)
    true, predicted = rng.uniform(0, 180, 100), rng.uniform(0, 180, 100)
    metric = evaluate.load("tasks/geography/number_metric.py")
    scores = metric.compute(predictions=predicted, references=true, failure=180.0)
    assert scores["abs_error_mean"] == pytest.approx(mean_absolute_error(true, predicted))
    assert scores["abs_error_median"] == pytest.approx(median_absolute_error(true, predicted))
    assert scores["parse_rate"] == 1
    failed = NumberError().compute(predictions=[np.nan, 7.0], references=[10.0, 7.0], failure=180.0)
    assert failed == {"abs_error_mean": 90.0, "abs_error_median": 90.0, "parse_rate": 0.5}


def test_the_metric_of_choices_is_scikit_learns():
    rng = np.random.default_rng(1)
    choices = ["n", "e", "s", "w"]
    true, predicted = rng.choice(choices, 200), rng.choice([*choices, "nowhere"], 200)
    scores = ChoiceAccuracy().compute(predictions=predicted, references=true, choices=choices)
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert scores["parse_rate"] == pytest.approx(np.mean(predicted != "nowhere"))


@pytest.mark.parametrize("text", ["", "007", "-1", "1.5", "12a", "١٢", "1" * 10, "true"])
def test_what_is_no_number_is_no_answer(text):
    assert np.isnan(parse_number(text))


@pytest.mark.parametrize("text", ["0", "7", "123456789"])
def test_numbers_are_read(text):
    assert parse_number(text) == float(text)


def test_answers_are_explained(tmp_path, world):
    world.write_csv(tmp_path / "cities.csv")
    first = int(world.city_id[0])
    explained = explain_numbers([f"angle(c_{first},c_1", "angle(c_999999,c_1,c_2)=1"], ["x", "7"], tmp_path)
    assert explained == {"number": [None, 17], "note": [None, "no city c_999999 in the dataset"]}


def test_rows_join_a_growing_world_with_the_last_of_their_cities(build, world, tmp_path):
    from tasks.geography.growing import growing_world, order_of_joining

    world.write_csv(tmp_path / "cities.csv")
    rows = build("perimeter").splits["train"]
    grown = growing_world(StoredDataset(tmp_path, {"train": rows}, {}), "train")
    size_of = {int(world.city_id[row]): at + 1 for at, row in enumerate(order_of_joining(world))}
    assert grown.smallest_N.tolist() == [max(size_of[city] for city in asked(row)) for row in rows]


def test_hulls_and_crossings_agree_with_the_shapes_of_the_prompt(build, world):
    from geo.sphere_shapes import crosses, encloses, points

    point = {int(city): at for city, at in zip(world.city_id, points(world.lat_deg, world.lon_deg), strict=True)}
    for row in itertools.islice(build("inside").splits["train"], 200):
        first, *others = (point[city] for city in asked(row))
        assert (row["answer"] == "true") == bool(encloses(np.array(others), first))
    for row in itertools.islice(build("crossing").splits["train"], 200):
        assert (row["answer"] == "true") == bool(crosses(*(point[city] for city in asked(row))))
