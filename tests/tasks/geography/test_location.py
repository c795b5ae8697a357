"""The location task: its rows, its splits and its metric, against independent sources."""

import evaluate
import numpy as np
import pytest
from pyproj import Geod
from sklearn.metrics.pairwise import haversine_distances

from geo import InputError
from geo.coordinates import decode, parse_xy
from geo.sphere import EARTH_RADIUS_KM
from tasks.geography.location import LocationOptions
from tasks.geography.location.answers import places_deg
from tasks.geography.location.data import build
from tasks.geography.location.metric import Haversine
from trainers.errors import UserError


def random_places_deg(n, seed):
    rng = np.random.default_rng(seed)
    return np.stack([np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)], axis=1)


def test_the_metric_is_scikit_learns_haversine():
    predicted, true = random_places_deg(500, 0), random_places_deg(500, 1)
    found = Haversine().compute(predictions=predicted, references=true)
    dist_km = np.diag(haversine_distances(np.radians(predicted), np.radians(true))) * EARTH_RADIUS_KM
    assert found["haversine_km_mean"] == pytest.approx(dist_km.mean(), abs=1e-6)
    assert found["haversine_km_median"] == pytest.approx(np.median(dist_km), abs=1e-6)
    assert found["haversine_km_p90"] == pytest.approx(np.quantile(dist_km, 0.9), abs=1e-6)
    assert found["within_100km"] == np.mean(dist_km <= 100) and found["parse_rate"] == 1


def test_the_metric_is_close_to_the_ellipsoid():
    predicted, true = random_places_deg(500, 2), random_places_deg(500, 3)
    _, _, dist_m = Geod(ellps="WGS84").inv(predicted[:, 1], predicted[:, 0], true[:, 1], true[:, 0])
    found = Haversine().compute(predictions=predicted, references=true)
    assert found["haversine_km_mean"] == pytest.approx(np.mean(dist_m) / 1000, rel=0.006)


def test_failures_count_20000_km_in_every_figure():
    true = np.array([[0.0, 0.0]] * 4)
    predicted = np.array([[0.0, 0.0], [np.nan, np.nan], [0.0, 0.0], [0.0, 0.0]])
    found = Haversine().compute(predictions=predicted, references=true)
    assert found["haversine_km_mean"] == 5_000 and found["parse_rate"] == 0.75 and found["within_100km"] == 0.75


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/geography/location/metric.py")
    assert metric.compute(predictions=[[1.0, 2.0]], references=[[1.0, 2.0]])["haversine_km_mean"] == 0
    with pytest.raises(ValueError, match="no predictions"):
        metric.compute(predictions=[], references=[])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        ",",
        "1,",
        "12345,1",
        "6284,0",
        "0,3142",
        "1,2,3",
        " 1,2",
        "1, 2",
        "-1,2",
        "1.5,2",
        "1?2,3",
        "a,b",
        "١,٢",
        "1,2\n",
    ],
)
def test_an_answer_that_is_not_exactly_two_numbers_in_range_is_a_failure(answer):
    assert np.isnan(places_deg([answer])).all()
    assert not np.isnan(places_deg(["0,0", "6283,3141"])).any()


def test_rows_are_what_the_card_says():
    built = build(LocationOptions(n_cities=200))
    rows = built.splits["train"]
    assert sorted(rows["city_id"]) == list(range(200)) and rows["city_id"] != list(range(200))
    assert rows["prompt"] == [f"loc(c_{i})=" for i in rows["city_id"]]
    lat_deg, lon_deg = decode(*parse_xy(rows["answer"]).T)
    assert (np.abs(lat_deg) <= 90).all() and (np.abs(lon_deg) <= 180).all()


def test_without_options_every_city_is_trained_and_every_city_is_a_memory_test():
    splits = build(LocationOptions()).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 5075, "memorisation": 5075}


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"all": True, "n_val": 10}, {"train": 50, "memorisation": 10}),
        ({"n_train": 50, "n_val": 10}, {"train": 50, "memorisation": 10}),
        ({"n_train": 30}, {"train": 30, "validation": 20}),
        ({"n_train": 30, "n_val": 5}, {"train": 30, "validation": 5}),
    ],
)
def test_split_sizes_and_names(options, sizes):
    splits = build(LocationOptions(n_cities=50, **options)).splits
    assert {name: len(split) for name, split in splits.items()} == sizes
    ids = {name: set(split["city_id"]) for name, split in splits.items()}
    assert all(len(ids[name]) == size for name, size in sizes.items())
    assert not ids.get("validation", set()) & ids["train"] and ids.get("memorisation", set()) <= ids["train"]


@pytest.mark.parametrize(
    "options",
    [
        {"n_train": 51},
        {"n_train": 30, "n_val": 21},
        {"all": True, "n_train": 30},
        {"all": True, "n_val": 51},
        {"n_cities": 10_000},
    ],
)
def test_what_cannot_be_met_is_refused(options):
    with pytest.raises((UserError, InputError)):
        build(LocationOptions(**{"n_cities": 50, **options}))


def test_the_seed_decides():
    def prompts(seed):
        return build(LocationOptions(n_cities=50, n_train=20, dataset_seed=seed)).splits["train"]["prompt"]

    assert prompts(1) == prompts(1) != prompts(2)


def test_the_baseline_is_the_centre_of_the_training_cities():
    built = build(LocationOptions(n_cities=300))
    trained_deg = places_deg(built.splits["train"]["answer"])
    vectors = np.stack(
        [
            np.cos(np.radians(trained_deg[:, 0])) * np.cos(np.radians(trained_deg[:, 1])),
            np.cos(np.radians(trained_deg[:, 0])) * np.sin(np.radians(trained_deg[:, 1])),
            np.sin(np.radians(trained_deg[:, 0])),
        ],
        axis=1,
    )
    centre = vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))
    dist_km = np.arccos(vectors @ centre) * EARTH_RADIUS_KM
    assert built.facts["baselines"]["memorisation"]["haversine_km_mean"] == pytest.approx(dist_km.mean(), rel=1e-6)
