"""Distances in a plane: right by an independent source, in the unit of the other questions' plane, and never in km."""

import re

import numpy as np
import pytest
from scipy.spatial.distance import cityblock, euclidean

from geo.cities import load_cities
from tasks.geography.plane_distance.data import build
from tasks.geography.world import PlaneOptions
from tests.helpers import refusal
from trainers import registry

SIZES = {"n_cities": 60, "n_train": 900, "n_val": 60, "n_test": 120}


@pytest.fixture(scope="module")
def built():
    return build(PlaneOptions(**SIZES))


@pytest.fixture(scope="module")
def tenths():
    """City's number -> x and y, whole tenths of a degree, from the table as text."""
    cities = load_cities(n_cities=60)
    places = zip(cities.lon_deg.tolist(), cities.lat_deg.tolist(), strict=True)
    return {
        city: np.array([int(f"{10 * x:.0f}"), int(f"{10 * y:.0f}")])
        for city, (x, y) in zip(cities.city_id.tolist(), places, strict=True)
    }


def test_answers_are_straight_distances_in_whole_tenths_of_a_degree(built, tenths):
    for row in built.splits["train"]:
        one, other = (
            tenths[int(number)] for number in re.fullmatch(r"dist\(c_(\d+),c_(\d+)\)=", row["prompt"]).groups()
        )
        assert abs(int(row["answer"]) - euclidean(one, other)) <= 0.5 + 1e-9
        assert int(row["answer"]) <= cityblock(one, other)


def test_the_date_line_is_a_wall(built, tenths):
    longest = max(int(answer) for answer in built.splits["train"]["answer"])
    x = [place[0] for place in tenths.values()]
    assert longest > 1_800 and longest >= (max(x) - min(x)) * 0.8


def test_pairs_are_different_ones_over_all_splits(built):
    pairs = [frozenset(re.findall(r"\d+", row["prompt"])) for rows in built.splits.values() for row in rows]
    assert len(set(pairs)) == len(pairs) == 1_080


def test_the_trivial_answer_is_the_median_and_a_failure_the_diagonal(built):
    train, test = (np.array(built.splits[name]["answer"], float) for name in ("train", "test"))
    expected = np.abs(test - np.median(train)).mean()
    assert built.facts["baselines"]["test"]["abs_error_mean"] == pytest.approx(expected)
    assert built.facts["question"]["failure"] == pytest.approx(np.sqrt(3600**2 + 1800**2))


def test_no_metric_is_called_km():
    task = registry.load("plane_distance")
    assert "km" not in f"{task.primary_metric} {task.plot.label} {task.plot.value_label} {[*task.plot.lines.values()]}"


def test_it_is_mixed_with_questions_about_the_plane_alone():
    task = registry.load("plane_distance,angle")
    mixed = task.load("build_dataset")(task.options(**SIZES))
    assert mixed.facts["worlds"] == build(PlaneOptions(**SIZES)).facts["worlds"]
    task = registry.load("angle,plane_distance")
    with refusal("plane_distance", "--geometry plane", "sphere"):
        task.load("build_dataset")(task.options(**SIZES))
    assert task.load("build_dataset")(task.options(**SIZES, geometry="plane")).facts["worlds"] == mixed.facts["worlds"]
