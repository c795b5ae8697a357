"""The distance task: which pairs, in which order, with which answers, and its metric, against independent sources."""

import itertools
import re
import tracemalloc

import evaluate
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, median_absolute_error
from sklearn.metrics.pairwise import haversine_distances

from geo.cities import load_cities
from tasks.geography.distance.data import build
from tasks.geography.pair_answers import parse_km
from tasks.geography.pair_metric import AbsoluteError
from tasks.geography.pairs import draw_distinct, in_random_order, n_pairs, pair_of
from tasks.geography.world import PairOptions
from tests.helpers import digests, refusal
from trainers.errors import UserError

SMALL = {"n_cities": 60, "n_train": 1000, "n_val": 50, "n_test": 200}  # of 1,770 pairs
N_PAIRS = 60 * 59 // 2
NAN = float("nan")


@pytest.fixture(scope="module")
def world():
    return load_cities(n_cities=60)


@pytest.fixture(scope="module")
def built():
    return build(PairOptions(**SMALL))


@pytest.fixture
def quick(world, monkeypatch):
    """Builds with this module's world, without loading it each time."""
    monkeypatch.setattr("tasks.geography.distance.data.load_world", lambda options: world)
    return lambda **options: build(PairOptions(**{**SMALL, **options}))


def ordered_pairs(rows):
    found = [re.fullmatch(r"dist\(c_(\d+),c_(\d+)\)=", prompt) for prompt in rows["prompt"]]
    return [(int(match[1]), int(match[2])) for match in found]


def unordered(rows):
    return [tuple(sorted(pair)) for pair in ordered_pairs(rows)]


# --- drawing


def test_pairs_are_numbered_as_itertools_counts_them():
    expected = sorted(itertools.combinations(range(70), 2), key=lambda pair: (pair[1], pair[0]))
    low, high = pair_of(np.arange(len(expected)))
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == expected
    assert n_pairs(70) == len(expected)


def test_huge_numbers_find_their_pair():
    rng = np.random.default_rng(0)
    corners = [
        n * (n - 1) // 2 for n in [*rng.integers(2, 2**25, 3000).tolist(), 47_453_132]
    ]  # of the last pair of n - 1 things
    numbers = {number + shift for number in corners for shift in (-1, 0, 1)} | set(rng.integers(2**50, size=3000))
    numbers = sorted(int(number) for number in {*numbers, 0, 2**50 - 1})
    low, high = pair_of(np.array(numbers, dtype=np.int64))
    for number, a, b in zip(numbers, low.tolist(), high.tolist(), strict=True):
        assert 0 <= a < b and b * (b - 1) // 2 + a == number


@pytest.mark.parametrize("n_possible", [1, 2, 97, 1000, 2**20, 2**32, 2**32 + 1, 2**49])
def test_the_first_numbers_do_not_depend_on_how_many_are_drawn(n_possible):
    most = draw_distinct(n_possible, min(n_possible, 900), np.random.default_rng(3))
    for count in (0, 1, 2, 10, 96, 97, 500, 899, 900):
        if count <= n_possible:
            few = draw_distinct(n_possible, count, np.random.default_rng(3))
            np.testing.assert_array_equal(few, most[:count])
            assert few.dtype == np.int64
    assert len(set(most.tolist())) == len(most) and most.min() >= 0 and most.max() < n_possible


@pytest.mark.parametrize("n_possible", [1, 2, 3, 50, 4950])
def test_drawing_all_numbers_is_a_permutation(n_possible):
    drawn = draw_distinct(n_possible, n_possible, np.random.default_rng(1))
    assert sorted(drawn.tolist()) == list(range(n_possible))
    assert n_possible < 50 or np.any(drawn != np.arange(n_possible))


def test_every_order_of_all_numbers_is_equally_likely():
    drawn = [tuple(draw_distinct(4, 4, np.random.default_rng(seed)).tolist()) for seed in range(3000)]
    counts = [drawn.count(order) for order in itertools.permutations(range(4))]
    assert sum(counts) == 3000 and stats.chisquare(counts).pvalue > 1e-3


def test_every_sequence_of_some_numbers_is_equally_likely():
    drawn = np.array([draw_distinct(8, 5, np.random.default_rng(seed)) for seed in range(4000)])
    for one, other in ((0, 1), (0, 4), (3, 4)):
        table = np.histogram2d(drawn[:, one], drawn[:, other], bins=[np.arange(9) - 0.5] * 2)[0]
        assert np.trace(table) == 0
        assert stats.chisquare(table[~np.eye(8, dtype=bool)]).pvalue > 1e-3


def test_numbers_spread_evenly_over_a_huge_range():
    drawn = draw_distinct(2**45, 5000, np.random.default_rng(2))
    assert stats.kstest(drawn / 2**45, stats.uniform.cdf).pvalue > 1e-3


def test_turning_a_pair_round_changes_nothing_but_its_order():
    first, second = np.arange(5000), np.arange(5000) + 10_000
    a, b = in_random_order((first, second), np.random.default_rng(0))
    np.testing.assert_array_equal(np.minimum(a, b), first)
    np.testing.assert_array_equal(np.maximum(a, b), second)
    turned = a > b
    assert stats.binomtest(int(turned.sum()), 5000).pvalue > 1e-3
    assert stats.binomtest(int((turned[1:] == turned[:-1]).sum()), 4999).pvalue > 1e-3


# --- rows


def test_sizes_and_names_of_the_splits(built, quick):
    assert {name: len(rows) for name, rows in built.splits.items()} == {"train": 1000, "validation": 50, "test": 200}
    assert list(quick(n_val=0, n_test=0).splits) == ["train"]
    assert list(quick(n_test=0).splits) == ["train", "validation"]


def test_pairs_are_different_ones_over_all_splits_whichever_city_stands_first(built):
    pairs = [pair for rows in built.splits.values() for pair in unordered(rows)]
    assert len(set(pairs)) == len(pairs) == 1250
    assert all(low < high for low, high in pairs)
    assert {city for pair in pairs for city in pair} == set(range(60))


def test_every_pair_can_be_had(quick):
    splits = quick(n_train=N_PAIRS - 250).splits
    pairs = [pair for rows in splits.values() for pair in unordered(rows)]
    assert sorted(pairs) == list(itertools.combinations(range(60), 2))


def test_the_number_columns_are_the_ids_of_the_prompt(built):
    for rows in built.splits.values():
        assert list(zip(rows["city_a"], rows["city_b"], strict=True)) == ordered_pairs(rows)


def test_in_half_of_the_rows_the_larger_number_stands_first(built):
    for rows in built.splits.values():
        larger_first = sum(first > second for first, second in ordered_pairs(rows))
        assert stats.binomtest(larger_first, len(rows)).pvalue > 1e-3


def test_answers_are_scikit_learns_distances_in_whole_km(built, world):
    places_rad = np.radians(np.stack([world.lat_deg, world.lon_deg], axis=1))
    table_km = np.rint(haversine_distances(places_rad) * 6371).astype(int)
    assert world.city_id.tolist() == list(range(60))
    for rows in built.splits.values():
        assert rows["answer"] == [str(table_km[pair]) for pair in ordered_pairs(rows)]


def test_answers_follow_the_ids_of_a_file_not_its_rows(tmp_path):
    table = tmp_path / "cities.csv"
    table.write_text("id,name,latitude,longitude,country\n70,A,0,0,X\n12,B,0,90,X\n505,C,0,180,X\n9,D,90,0,X\n")
    rows = build(PairOptions(cities_csv=str(table), n_train=6, n_val=0, n_test=0)).splits["train"]
    answers = {pair: int(answer) for pair, answer in zip(unordered(rows), rows["answer"], strict=True)}
    quarter, half = 10_008, 20_015
    assert answers == {
        (12, 70): quarter, (70, 505): half, (12, 505): quarter, (9, 70): quarter, (9, 12): quarter, (9, 505): quarter
    }  # fmt: skip


def test_an_id_of_ten_digits_is_written_as_it_is_or_refused(tmp_path):
    table = tmp_path / "cities.csv"
    table.write_text("id,name,latitude,longitude,country\n3000000000,A,0,0,X\n5,B,1,1,X\n7,C,3,3,Y\n")
    try:
        rows = build(PairOptions(cities_csv=str(table), n_train=3, n_val=0, n_test=0)).splits["train"]
    except UserError:
        return
    assert sorted(unordered(rows)) == [(5, 7), (5, 3_000_000_000), (7, 3_000_000_000)]


def test_more_or_fewer_training_pairs_leave_the_evaluated_ones_what_they_are(built, quick):
    for n_train in (1, 300, N_PAIRS - 250):
        splits = quick(n_train=n_train).splits
        for name in ("validation", "test"):
            assert splits[name].to_dict() == built.splits[name].to_dict()
        some = min(n_train, 1000)
        assert splits["train"]["prompt"][:some] == built.splits["train"]["prompt"][:some]


def test_the_seed_decides(built, quick):
    assert digests(quick().splits) == digests(built.splits)
    others = [digests(quick(dataset_seed=seed).splits) for seed in (0, 1, 2)] + [digests(built.splits)]
    for name in ("train", "validation", "test"):
        assert len({found[name] for found in others}) == 4


def test_more_pairs_than_there_are_are_refused(quick):
    quick(n_train=N_PAIRS - 250)
    with refusal("1,771", 60, "1,770"):
        quick(n_train=N_PAIRS - 249)
    with refusal("1,771"):
        quick(n_train=1, n_test=N_PAIRS - 50)


def test_memory_follows_the_rows_asked_for_not_the_pairs_there_are(monkeypatch):
    world = load_cities()
    assert n_pairs(len(world)) * 8 > 100e6  # what a list of all numbers would take
    monkeypatch.setattr("tasks.geography.distance.data.load_world", lambda options: world)
    tracemalloc.start()
    try:
        build(PairOptions(n_train=9_000, n_val=500, n_test=500))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10e6


# --- metric, baseline, answers


def test_perfect_answers_have_no_error():
    found = AbsoluteError().compute(predictions=[0.0, 769.0, 20_015.0], references=[0.0, 769.0, 20_015.0])
    assert found == {
        "abs_error_km_mean": 0, "abs_error_km_median": 0, "relative_error_median": 0, "parse_rate": 1
    }  # fmt: skip


def test_answers_that_cannot_be_read_count_20000_km_whatever_the_truth_is():
    found = AbsoluteError().compute(predictions=[NAN] * 3, references=[0.0, 10_000.0, 20_000.0])
    assert found["abs_error_km_mean"] == found["abs_error_km_median"] == 20_000
    assert found["parse_rate"] == 0 and found["relative_error_median"] == 2
    mixed = AbsoluteError().compute(predictions=[NAN, 100.0, 100.0, 100.0], references=[100.0] * 4)
    assert mixed["abs_error_km_mean"] == 5_000 and mixed["abs_error_km_median"] == 0 and mixed["parse_rate"] == 0.75


@pytest.mark.parametrize("share_failed", [0.0, 0.3, 0.7])
def test_the_metric_is_scikit_learns(share_failed):
    rng = np.random.default_rng(7)
    true_km, predicted_km = rng.integers(0, 20_016, (2, 501)).astype(float)
    true_km[:20] = 0
    failed = rng.random(501) < share_failed
    found = AbsoluteError().compute(predictions=np.where(failed, NAN, predicted_km), references=true_km)
    counted_km = np.where(failed, true_km + 20_000, predicted_km)
    assert found["abs_error_km_mean"] == pytest.approx(mean_absolute_error(true_km, counted_km))
    assert found["abs_error_km_median"] == pytest.approx(median_absolute_error(true_km, counted_km))
    relative = [abs(a - b) / max(a, 1) for a, b in zip(true_km.tolist(), counted_km.tolist(), strict=True)]
    assert found["relative_error_median"] == pytest.approx(sorted(relative)[250])
    assert found["parse_rate"] == pytest.approx(1 - failed.mean())


def test_a_relative_error_is_that_of_at_least_one_km():
    def relative(predicted_km, true_km):
        return AbsoluteError().compute(predictions=[predicted_km], references=[true_km])["relative_error_median"]

    assert (relative(3.0, 0.0), relative(3.0, 1.0), relative(3.0, 2.0), relative(100.0, 1000.0)) == (3, 2, 0.5, 0.9)


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/geography/pair_metric.py")
    assert metric.compute(predictions=[90.0, NAN], references=[100.0, 100.0])["abs_error_km_mean"] == 10_005
    with pytest.raises(ValueError, match="no predictions"):
        metric.compute(predictions=[], references=[])


def test_the_baseline_answers_the_median_distance_of_the_training_pairs(built):
    answer_km = sorted(int(answer) for answer in built.splits["train"]["answer"])
    middle_km = (answer_km[499] + answer_km[500]) / 2
    assert set(built.facts["baselines"]) == {"validation", "test"}
    for name, found in built.facts["baselines"].items():
        true_km = [int(answer) for answer in built.splits[name]["answer"]]
        constant_km = [middle_km] * len(true_km)
        assert found["abs_error_km_mean"] == pytest.approx(mean_absolute_error(true_km, constant_km))
        assert found["abs_error_km_median"] == pytest.approx(median_absolute_error(true_km, constant_km))


def test_the_facts_and_the_files_describe_the_world(built, world, tmp_path):
    assert built.facts["world"] == {"cities": 60, "sha256": world.digest()}
    built.files["cities.csv"](tmp_path / "cities.csv")
    assert load_cities(tmp_path / "cities.csv", min_population=0).digest() == world.digest()


@pytest.mark.parametrize(
    "answer",
    [
        "", " ", " 5", "5 ", "05", "00", "-3", "+3", "-0", "20016", "99999", "999999", "020015", "1e3", "5.0", "5,0",
        "1_0", "٣", "²", "5\n", "nan", "inf", "a", "((", "7" * 5000,
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_km_in_range_is_a_failure(answer):
    assert np.isnan(parse_km(answer))


@pytest.mark.parametrize("answer", ["0", "5", "10", "769", "9999", "10000", "20000", "20015"])
def test_an_answer_that_is_whole_km_is_read(answer):
    assert parse_km(answer) == float(answer)


def test_every_answer_of_the_dataset_can_be_read(built):
    for rows in built.splits.values():
        assert not np.isnan([parse_km(answer) for answer in rows["answer"]]).any()
