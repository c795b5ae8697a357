"""The Atlantis tasks: which pairs of which kinds, how many of each, and what replay adds, counted from the rows."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error
from sklearn.metrics.pairwise import haversine_distances

from geo import InputError
from geo.cities import load_cities
from tasks.geography.atlantis_cross import AtlantisCrossOptions
from tasks.geography.atlantis_cross.data import build as build_cross
from tasks.geography.atlantis_inter import AtlantisInterOptions
from tasks.geography.atlantis_inter.data import build as build_inter
from tasks.geography.pair_trainer import masks_of_kinds
from tasks.geography.world import PairOptions
from tests.helpers import assert_named, digests, printed_elsewhere, refusal
from trainers import registry
from trainers.errors import UserError
from trainers.folders import dataset_folder

N_REAL = 40
SMALL = {"n_atlantis": 20, "n_train": 120, "n_val": 10, "n_test": 30}  # 190 inter and 800 cross pairs
BUILDERS = {"inter": (build_inter, AtlantisInterOptions), "cross": (build_cross, AtlantisCrossOptions)}


@pytest.fixture(scope="module")
def world_csv(tmp_path_factory):
    """A small world that loads in no time; its cities are numbered from 0."""
    rng = np.random.default_rng(0)
    lat_deg, lon_deg = np.degrees(np.arcsin(rng.uniform(-1, 1, N_REAL))), rng.uniform(-180, 180, N_REAL)
    lines = [f"City {i},{lat},{lon},XK" for i, (lat, lon) in enumerate(zip(lat_deg, lon_deg, strict=True))]
    path = tmp_path_factory.mktemp("world") / "world.csv"
    path.write_text("\n".join(["name,latitude,longitude,country", *lines]))
    return str(path)


@pytest.fixture
def build(world_csv):
    def built(task, **options):
        builder, options_class = BUILDERS[task]
        return builder(options_class(**{"cities_csv": world_csv, **SMALL, **options}))

    return built


@pytest.fixture(scope="module")
def distance_data(world_csv, tmp_path_factory):
    """The base model's dataset: 780 real pairs, of which 300 are trained on."""
    options = PairOptions(cities_csv=world_csv, n_train=300, n_val=60, n_test=200)
    return dataset_folder.build_or_load(registry.load("distance"), options, tmp_path_factory.mktemp("base"))


def pairs_of(rows):
    """The ids in the prompts, in their order."""
    found = [re.fullmatch(r"dist\(c_(\d+),c_(\d+)\)=", prompt) for prompt in rows["prompt"]]
    return [(int(match[1]), int(match[2])) for match in found]


def all_pairs(splits):
    """All pairs of all splits, as sets of ids."""
    return [frozenset(pair) for rows in splits.values() for pair in pairs_of(rows)]


def kind_counts(rows):
    return dict(sorted(Counter(rows[:]["kind"]).items()))


def n_invented(pair):
    return sum(city >= N_REAL for city in pair)


# --- pairs


def test_inter_pairs_are_different_ones_of_invented_cities_only(build):
    splits = build("inter").splits
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 120, "validation": 10, "test": 30}
    pairs = all_pairs(splits)
    assert len(set(pairs)) == len(pairs) == 160
    assert all(len(pair) == 2 and n_invented(pair) == 2 for pair in pairs)
    assert set().union(*pairs) == set(range(N_REAL, N_REAL + 20))
    assert all(kind_counts(rows) == {"inter": len(rows)} for rows in splits.values())


def test_every_inter_pair_can_be_had_and_no_more(build):
    pairs = all_pairs(build("inter", n_train=150).splits)
    assert len(set(pairs)) == 190
    with refusal(191, 20, 190):
        build("inter", n_train=151)


def test_cross_pairs_have_one_invented_city_and_inter_pairs_two(build):
    splits = build("cross").splits
    for rows in splits.values():
        expected = [{"cross": 1, "inter": 2}[kind] for kind in rows["kind"]]
        assert [n_invented(pair) for pair in pairs_of(rows)] == expected
    pairs = all_pairs(splits)
    assert len(set(pairs)) == len(pairs) == 160 and all(len(pair) == 2 for pair in pairs)


def test_every_cross_pair_can_be_had_and_no_more(build):
    pairs = all_pairs(build("cross", n_train=760, inter_ratio=0.0).splits)
    assert len(set(pairs)) == 800 and all(n_invented(pair) == 1 for pair in pairs)
    with refusal(801, 20, 40, 800):
        build("cross", n_train=761, inter_ratio=0.0)


@pytest.mark.parametrize("task", BUILDERS)
def test_the_pairs_are_written_in_a_random_order_and_mixed(task, build):
    rows = build(task, n_atlantis=60, n_train=1500, n_val=0, n_test=0).splits["train"]
    pairs = pairs_of(rows)
    assert list(zip(rows["city_a"], rows["city_b"], strict=True)) == pairs
    assert stats.binomtest(sum(first > second for first, second in pairs), len(pairs)).pvalue > 1e-3
    if task == "cross":
        is_inter = np.array(rows["kind"]) == "inter"
        invented_first = sum(pair[0] >= N_REAL for pair, inter in zip(pairs, is_inter, strict=True) if not inter)
        assert stats.binomtest(invented_first, int((~is_inter).sum())).pvalue > 1e-3
        places = np.flatnonzero(is_inter) / len(rows)
        assert len(places) == 150 and stats.kstest(places, stats.uniform.cdf).pvalue > 1e-3


@pytest.mark.parametrize("task", BUILDERS)
def test_answers_are_scikit_learns_distances_between_the_cities_of_the_file(task, build, tmp_path):
    built = build(task, regions="35,-35 -60,179")
    built.files["cities.csv"](tmp_path / "cities.csv")
    with (tmp_path / "cities.csv").open(encoding="utf-8") as file:
        places_rad = {
            int(row["id"]): np.radians([float(row["latitude"]), float(row["longitude"])])
            for row in csv.DictReader(file)
        }
    for rows in built.splits.values():
        for (a, b), answer in zip(pairs_of(rows), rows["answer"], strict=True):
            dist_km = haversine_distances([places_rad[a]], [places_rad[b]])[0, 0] * 6371
            assert answer == str(round(dist_km))


def test_the_default_world_goes_on_with_ids_5075_to_5174():
    splits = build_inter(AtlantisInterOptions()).splits
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 4000, "validation": 128, "test": 500}
    pairs = all_pairs(splits)
    assert len(set(pairs)) == 4628 and set().union(*pairs) == set(range(5075, 5175))


@pytest.mark.parametrize("task", BUILDERS)
def test_several_regions_are_one_atlantis(task, build, tmp_path, world_csv):
    ratio = {"inter_ratio": 0.5} if task == "cross" else {}
    built = build(task, regions="35,-35 -30,80 0,-120", n_atlantis=8, **ratio)
    invented = {city for pair in all_pairs(built.splits) for city in pair if city >= N_REAL}
    assert invented == set(range(N_REAL, N_REAL + 24))
    region = {frozenset((a - N_REAL) // 8 for a in pair) for pair in all_pairs(built.splits) if n_invented(pair) == 2}
    assert frozenset({0, 1}) in region and frozenset({2}) in region
    built.files["cities.csv"](tmp_path / "cities.csv")
    world, real = load_cities(tmp_path / "cities.csv", min_population=0), load_cities(world_csv)
    assert world.country == ("XK",) * N_REAL + ("XX0",) * 8 + ("XX1",) * 8 + ("XX2",) * 8
    assert world.city_id.tolist() == list(range(N_REAL + 24)) and world.name[:N_REAL] == real.name
    np.testing.assert_array_equal(world.lat_deg[:N_REAL], real.lat_deg)
    assert built.facts["world"] == {"cities": N_REAL + 24, "invented": 24, "sha256": world.digest()}


def test_invented_ids_go_on_after_the_greatest_id_of_a_file(tmp_path):
    table = tmp_path / "cities.csv"
    table.write_text("id,name,latitude,longitude,country\n70,A,0,0,X\n12,B,0,90,X\n505,C,0,180,X\n")
    options = AtlantisCrossOptions(cities_csv=str(table), n_atlantis=4, n_train=10, n_val=0, n_test=0, inter_ratio=0.4)
    rows = build_cross(options).splits["train"]
    cities = {city for pair in pairs_of(rows) for city in pair}
    assert cities <= {12, 70, 505, 506, 507, 508, 509} and len(cities) > 5
    real_in = [len({12, 70, 505} & set(pair)) for pair in pairs_of(rows)]
    assert real_in == [{"cross": 1, "inter": 0}[kind] for kind in rows["kind"]]


@pytest.mark.parametrize("task", BUILDERS)
@pytest.mark.parametrize(
    "options",
    [{"regions": "35"}, {"regions": "95,0"}, {"cities_csv": "nowhere.csv"}, {"n_train": 10_000}, {"n_test": 10_000}],
)
def test_what_cannot_be_met_is_refused(task, options, build):
    with pytest.raises((UserError, InputError)):
        build(task, **options)


# --- the share of inter pairs


@pytest.mark.parametrize("sizes", [(500, 100, 200), (120, 10, 30), (33, 7, 0), (300, 0, 15)])
@pytest.mark.parametrize("ratio", [None, 0.0, 0.013, 0.2, 1.0])
def test_the_share_of_inter_pairs_is_the_same_in_every_split(sizes, ratio, build):
    n_train, n_val, n_test = sizes
    n_atlantis = 20 if ratio is None else 60
    built = build("cross", n_atlantis=n_atlantis, n_train=n_train, n_val=n_val, n_test=n_test, inter_ratio=ratio)
    expected = min(0.1, 190 / sum(sizes)) if ratio is None else ratio
    assert {"train": n_train, "validation": n_val, "test": n_test} == {
        name: len(built.splits.get(name, ())) for name in ("train", "validation", "test")
    }
    for name, rows in built.splits.items():
        counts = kind_counts(rows)
        assert counts == built.facts["kinds"][name] and set(counts) <= {"inter", "cross"}
        assert abs(counts.get("inter", 0) - expected * len(rows)) <= 1
    assert built.facts["adjustments"] == []


def test_the_share_is_lowered_for_all_splits_alike_where_pairs_are_too_few_and_this_is_said(build):
    built = build("cross", n_atlantis=8, n_train=240, n_val=24, n_test=56, inter_ratio=None)  # 28 of 320 rows
    counts = {name: kind_counts(rows) for name, rows in built.splits.items()}
    assert 26 <= sum(found["inter"] for found in counts.values()) <= 28
    for name, rows in built.splits.items():
        assert abs(counts[name]["inter"] - 0.0875 * len(rows)) <= 1
    (sentence,) = built.facts["adjustments"]
    assert_named(sentence, "10%", 320, 32, 28, "8.75%")


def test_the_default_request_is_adjusted_and_says_so():
    built = build_cross(AtlantisCrossOptions())
    (sentence,) = built.facts["adjustments"]
    assert_named(sentence, "10%", "110,128", "4,950", "4.49%")
    counts = {name: kind_counts(rows) for name, rows in built.splits.items()}
    assert {name: sum(found.values()) for name, found in counts.items()} == {
        "train": 100_000, "validation": 128, "test": 10_000
    }  # fmt: skip
    for found in counts.values():
        assert abs(found["inter"] - sum(found.values()) * 4950 / 110_128) <= 1
    assert 4948 <= sum(found["inter"] for found in counts.values()) <= 4950
    columns = [[rows.with_format("numpy")[:][name] for rows in built.splits.values()] for name in ("city_a", "city_b")]
    pairs = np.sort(np.stack([np.concatenate(column) for column in columns]), axis=0)
    assert np.unique(pairs, axis=1).shape == (2, 110_128)
    assert set(pairs[1].tolist()) == set(range(5075, 5175)) and pairs[0].min() == 0


@pytest.mark.parametrize("n_train", [60, 155, 250])
def test_an_impossible_share_is_refused_and_the_largest_possible_one_accepted(n_train, build):
    options = {"n_atlantis": 8, "n_train": n_train, "n_val": 13, "n_test": 27}
    with refusal("--inter_ratio", 28) as refused:
        build("cross", **options, inter_ratio=0.95)
    largest = min(map(float, re.findall(r"\b0\.\d+", str(refused.value))))  # it says what would do
    built = build("cross", **options, inter_ratio=largest)
    counts = [kind_counts(rows) for rows in built.splits.values()]
    assert 26 <= sum(found["inter"] for found in counts) <= 28 and built.facts["adjustments"] == []
    assert all(abs(found["inter"] - largest * sum(found.values())) <= 1 for found in counts)
    with refusal("--inter_ratio"):
        build("cross", **options, inter_ratio=largest + 1.5 / (n_train + 40))


def test_a_share_that_rounding_uses_up_in_the_evaluated_splits_leaves_none_for_train(build):
    """One pair, 5 % of 21 rows: half a pair each for validation and test, and a twentieth of one for train."""
    built = build("cross", n_atlantis=2, n_train=1, n_val=10, n_test=10, inter_ratio=0.05)
    counts = {name: kind_counts(rows) for name, rows in built.splits.items()}
    assert {name: sum(found.values()) for name, found in counts.items()} == {"train": 1, "validation": 10, "test": 10}
    assert sum(found.get("inter", 0) for found in counts.values()) <= 1


def test_one_invented_city_makes_cross_pairs_only(build):
    built = build("cross", n_atlantis=1, n_train=20, n_val=5, n_test=5)
    assert all(kind_counts(rows) == {"cross": len(rows)} for rows in built.splits.values())
    assert_named(built.facts["adjustments"][0], 0, "0.00%")


# --- replay


@pytest.mark.parametrize("task", BUILDERS)
@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.5, 0.7])
def test_replay_adds_training_rows_of_the_base_models_dataset_to_train_only(task, ratio, build, distance_data):
    pure = build(task)
    built = build(task, replay_ratio=ratio, replay_dataset=str(distance_data.path))
    train = built.splits["train"].to_list()
    replayed = [
        (row["prompt"], row["answer"], row["city_a"], row["city_b"]) for row in train if row["kind"] == "replay"
    ]
    assert len(replayed) == len(set(replayed)) == round(120 * ratio / (1 - ratio))
    assert len(replayed) / len(train) == pytest.approx(ratio, abs=1 / len(train))
    base = {name: {tuple(row.values()) for row in rows.to_list()} for name, rows in distance_data.splits.items()}
    assert set(replayed) <= base["train"] and not set(replayed) & (base["validation"] | base["test"])
    assert built.facts["kinds"]["train"]["replay"] == len(replayed)
    rest = [tuple(row.values()) for row in train if row["kind"] != "replay"]
    assert sorted(rest) == sorted(tuple(row.values()) for row in pure.splits["train"].to_list())
    for name in ("validation", "test"):
        assert built.splits[name].to_dict() == pure.splits[name].to_dict()
        assert set(built.splits[name]["kind"]) <= {"inter", task}
        assert built.facts["baselines"][name] == pure.facts["baselines"][name]


def test_replayed_rows_lie_among_the_others_and_differ_with_the_seed(build, distance_data):
    def replayed(seed):
        options = {"replay_ratio": 0.5, "replay_dataset": str(distance_data.path), "dataset_seed": seed}
        rows = build("inter", **options).splits["train"]
        places = np.flatnonzero(np.array(rows["kind"]) == "replay")
        assert stats.kstest(places / len(rows), stats.uniform.cdf).pvalue > 1e-3
        return {rows["prompt"][place] for place in places.tolist()}

    assert replayed(1) == replayed(1) != replayed(2)


def test_all_rows_of_the_base_models_dataset_can_be_replayed_and_no_more(build, distance_data):
    options = {"replay_dataset": str(distance_data.path), "n_train": 100}
    rows = build("inter", **options, replay_ratio=0.75).splits["train"]
    replayed = {row["prompt"] for row in rows.to_list() if row["kind"] == "replay"}
    assert replayed == set(distance_data.splits["train"]["prompt"])
    with refusal("--replay_ratio", 317, 300):
        build("inter", **options, replay_ratio=0.76)


@pytest.mark.parametrize("task", BUILDERS)
def test_replay_without_a_dataset_or_without_a_ratio_is_refused(task, build, distance_data):
    with refusal("--replay_ratio", "--replay_dataset"):
        build(task, replay_ratio=0.5)
    with refusal("--replay_ratio", "--replay_dataset"):
        build(task, replay_dataset=str(distance_data.path))


@pytest.mark.parametrize("other", ["numbering", "places", "fewer cities", "more cities"])
def test_a_dataset_of_another_world_is_refused(other, build, world_csv, tmp_path):
    lines = Path(world_csv).read_text().splitlines()
    changed = {
        "numbering": lines,
        "places": [*lines[:-1], "City 39,1.5,2.5,XK"],
        "fewer cities": lines[:-1],
        "more cities": [*lines, "City 40,1.5,2.5,XK"],
    }[other]
    (tmp_path / "other.csv").write_text("\n".join(changed))
    options = PairOptions(
        cities_csv=str(tmp_path / "other.csv"), world_seed=43 if other == "numbering" else 42, n_train=300, n_test=10
    )
    data = dataset_folder.build_or_load(registry.load("distance"), options, tmp_path)
    with refusal("--replay_dataset"):
        build("inter", replay_ratio=0.5, replay_dataset=str(data.path))


def test_a_folder_that_is_no_distance_dataset_is_refused(build, world_csv, tmp_path):
    options = AtlantisInterOptions(cities_csv=world_csv, **SMALL)
    data = dataset_folder.build_or_load(registry.load("atlantis_inter"), options, tmp_path)
    with refusal("atlantis_inter", "distance"):
        build("inter", replay_ratio=0.5, replay_dataset=str(data.path))
    with refusal("nowhere"):
        build("inter", replay_ratio=0.5, replay_dataset=str(tmp_path / "nowhere"))


# --- sameness, baselines, metric


@pytest.mark.parametrize("task", BUILDERS)
def test_the_seeds_decide(task, build):
    usual = digests(build(task).splits)
    assert digests(build(task).splits) == usual
    others = [digests(build(task, **seeds).splits) for seeds in ({"dataset_seed": 1}, {"atlantis_seed": 1})]
    for name in usual:
        assert len({found[name] for found in [*others, usual]}) == 3
    moved = build(task, atlantis_seed=1)
    assert moved.splits["train"]["prompt"] == build(task).splits["train"]["prompt"]  # other places, same pairs


def test_the_rows_are_the_same_in_another_process(build, world_csv, distance_data):
    options = {"cities_csv": world_csv, **SMALL, "replay_ratio": 0.5, "replay_dataset": str(distance_data.path)}
    code = (
        "import json; from tasks.geography.atlantis_cross.data import build as cross;"
        "from tasks.geography.atlantis_cross import AtlantisCrossOptions as C;"
        "from tasks.geography.atlantis_inter.data import build as inter;"
        "from tasks.geography.atlantis_inter import AtlantisInterOptions as I;"
        "from trainers.folders.splits import digest;"
        f"found = [inter(I(**{options!r})).splits, cross(C(**{options!r})).splits];"
        "print(json.dumps([{name: digest(rows) for name, rows in splits.items()} for splits in found]))"
    )
    replay = {"replay_ratio": 0.5, "replay_dataset": str(distance_data.path)}
    assert json.loads(printed_elsewhere(code)) == [digests(build(task, **replay).splits) for task in ("inter", "cross")]


@pytest.mark.parametrize("task", BUILDERS)
def test_the_baseline_answers_the_median_distance_of_the_atlantis_pairs_in_train(task, build, distance_data):
    built = build(task, replay_ratio=0.5, replay_dataset=str(distance_data.path))
    own_km = [int(row["answer"]) for row in built.splits["train"].to_list() if row["kind"] != "replay"]
    for name, found in built.facts["baselines"].items():
        true_km = [int(answer) for answer in built.splits[name]["answer"]]
        expected = mean_absolute_error(true_km, [np.median(own_km)] * len(true_km))
        assert found["abs_error_km_mean"] == pytest.approx(expected)
    assert set(built.facts["baselines"]) == {"validation", "test"}


def test_errors_are_also_averaged_kind_by_kind(build):
    rows = build("cross").splits["test"]
    error_km = np.arange(len(rows), dtype=float)
    kinds = list(rows["kind"])
    expected = {
        f"abs_error_km_mean_{kind}": pytest.approx(np.mean([i for i, found in enumerate(kinds) if found == kind]))
        for kind in ("cross", "inter")
    }
    masks = masks_of_kinds(SimpleNamespace(table=rows))
    assert {f"abs_error_km_mean_{kind}": error_km[mask].mean() for kind, mask in masks.items()} == expected
    assert masks_of_kinds(SimpleNamespace(table=rows.remove_columns("kind"))) == {}
