"""The random_walk task: walks against exact enumeration and scikit-learn's ball tree, the metric against a slow one."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import evaluate
import numpy as np
import pytest
from pyproj import Geod
from scipy import stats
from sklearn.neighbors import BallTree

from geo.cities import Cities, load_cities
from geo.neighbours import neighbour_lists
from tasks.geography.random_walk import walks
from tasks.geography.random_walk.data import build
from tasks.geography.random_walk.metric import WalkLegality, step_legality
from tasks.geography.random_walk.options import RandomWalkOptions
from tasks.geography.random_walk.trainer import _places, _share, parse_walk
from tasks.geography.random_walk.walks import END, random_walks
from trainers.errors import UserError
from trainers.folders import dataset_folder

ROOT = Path(__file__).resolve().parents[2]
SPHERE = Geod(a=6_371_000, b=6_371_000)
REAL = {"n_cities": 1000, "radius_km": 300, "longest_walk": 16, "n_train": 2000, "n_val": 50, "n_test": 150}
DENSE = {"n_cities": 60, "radius_km": 3000, "longest_walk": 3, "n_train": 1500, "n_val": 30, "n_test": 50}

# City 5 has no neighbours, 4 only one, which most walks have been to; 0 to 3 form a square with one diagonal.
GRAPH = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3, 4], 3: [0, 2], 4: [2], 5: []}


@pytest.fixture(scope="module")
def world():
    return load_cities(n_cities=1000)


@pytest.fixture(scope="module")
def tree_neighbours(world):
    """For every city of the real world its neighbours within 300 km, by scikit-learn; ids are rows here."""
    places = np.radians([world.lat_deg, world.lon_deg]).T
    found = BallTree(places, metric="haversine").query_radius(places, 300 / 6371)
    return [set(rows.tolist()) - {i} for i, rows in enumerate(found)]


@pytest.fixture(scope="module")
def real():
    return build(RandomWalkOptions(**REAL))


@pytest.fixture(scope="module")
def dense_world():
    return load_cities(n_cities=60)


@pytest.fixture
def dense(dense_world, monkeypatch):
    """Builds with a small world whose walks often coincide, without loading it each time."""
    monkeypatch.setattr("tasks.geography.random_walk.data.load_world", lambda options: dense_world)
    return lambda **options: build(RandomWalkOptions(**{**DENSE, **options}))


def sparse_rows(graph):
    indptr = np.cumsum([0, *map(len, graph.values())])
    return indptr, np.array([city for neighbours in graph.values() for city in neighbours], dtype=np.int64)


def as_tuples(city_NT):
    """Walks without their filling; there is nothing after the end."""
    found = [tuple(row[row != END].tolist()) for row in city_NT]
    assert all((row[len(walk) :] == END).all() for row, walk in zip(city_NT, found, strict=True))
    return found


def written(rows):
    """The walks of a split, read from its texts without the project's own reader."""
    assert all(prompt.startswith("srd_") for prompt in rows["prompt"])
    texts = [p.split("=")[1] + a for p, a in zip(rows["prompt"], rows["answer"], strict=True)]
    return [tuple(int(city.removeprefix("c_")) for city in text.split(",")) for text in texts]


def digests(splits):
    return {name: dataset_folder.digest(rows) for name, rows in splits.items()}


def exact_probabilities(graph, longest):
    """The probability of every walk, by following all of them."""
    found: Counter = Counter()

    def follow(walk, probability, target):
        left = [city for city in graph[walk[-1]] if city not in walk]
        if len(walk) == target or not left:
            found[walk] += probability
            return
        for city in left:
            follow((*walk, city), probability / len(left), target)

    for start in graph:
        for target in range(1, longest + 1):
            follow((start,), 1 / len(graph) / longest, target)
    assert sum(found.values()) == pytest.approx(1)
    return found


class AlwaysLongest(np.random.Generator):
    """Draws the greatest target length for every walk, so that only a dead end is a reason to stop earlier."""

    longest: int

    def integers(self, low, high=None, size=None, **options):
        if np.ndim(low) == 0 and (low, high) == (1, self.longest + 1):
            return np.full(size, self.longest)
        return super().integers(low, high, size, **options)


# --- walks


@pytest.mark.parametrize("tries", [0, 1, 6])
def test_every_walk_of_a_small_graph_comes_as_often_as_it_should(tries, monkeypatch):
    monkeypatch.setattr(walks, "_TRIES", tries)
    expected = exact_probabilities(GRAPH, longest=5)
    n_walks = 60_000
    counts = Counter(as_tuples(random_walks(*sparse_rows(GRAPH), n_walks, 5, np.random.default_rng(tries))))
    assert set(counts) == set(expected) and min(expected.values()) * n_walks > 20
    found = stats.chisquare([counts[walk] for walk in expected], [p * n_walks for p in expected.values()])
    assert found.pvalue > 1e-3


def test_without_cheap_tries_the_list_is_used_and_with_them_seldom(monkeypatch):
    def rows_listed(tries):
        rows = []

        def spy(indptr, indices, visited_NT, rng):
            rows.append(len(visited_NT))
            return listed(indptr, indices, visited_NT, rng)

        monkeypatch.setattr(walks, "_TRIES", tries)
        monkeypatch.setattr(walks, "_from_list", spy)
        random_walks(*sparse_rows(GRAPH), 1000, 5, np.random.default_rng(0))
        return sum(rows)

    listed = walks._from_list
    assert 0 < 4 * rows_listed(6) < rows_listed(0)


def test_target_lengths_are_uniform_where_nothing_stops_a_walk():
    neighbours = neighbour_lists(load_cities(n_cities=14), 20_015)
    assert set(np.diff(neighbours[0]).tolist()) == {13}
    lengths = [len(walk) for walk in as_tuples(random_walks(*neighbours, 24_000, 12, np.random.default_rng(1)))]
    counts = [lengths.count(n) for n in range(1, 13)]
    assert sum(counts) == 24_000 and stats.chisquare(counts).pvalue > 1e-3


def test_the_step_to_the_last_city_left_is_found():
    neighbours = neighbour_lists(load_cities(n_cities=14), 20_015)
    rng = AlwaysLongest(np.random.PCG64(2))
    rng.longest = 14
    found = as_tuples(random_walks(*neighbours, 2000, 14, rng))
    assert all(sorted(walk) == list(range(14)) for walk in found) and len(set(found)) == 2000


def test_a_walk_ends_before_its_target_only_where_no_unvisited_neighbour_is_left(world, tree_neighbours):
    rng = AlwaysLongest(np.random.PCG64(3))
    rng.longest = 12
    found = as_tuples(random_walks(*neighbour_lists(world, 300), 3000, 12, rng))
    stuck = [tree_neighbours[walk[-1]] <= set(walk) for walk in found]
    early = [len(walk) < 12 for walk in found]
    assert 300 < sum(early) < 2700
    assert all(is_stuck for is_stuck, is_early in zip(stuck, early, strict=True) if is_early)


def test_walks_made_block_by_block_are_as_many_and_as_often(monkeypatch):
    monkeypatch.setattr(walks, "_AT_ONCE", 700)
    expected = exact_probabilities(GRAPH, longest=3)
    city_NT = random_walks(*sparse_rows(GRAPH), 20_300, 3, np.random.default_rng(5))
    counts = Counter(as_tuples(city_NT))
    assert city_NT.shape == (20_300, 3) and set(counts) == set(expected)
    found = stats.chisquare([counts[walk] for walk in expected], [p * 20_300 for p in expected.values()])
    assert found.pvalue > 1e-3


@pytest.mark.parametrize(("n_walks", "longest"), [(0, 1), (0, 7), (1, 1), (500, 1), (3, 50)])
def test_few_walks_short_walks_and_walks_longer_than_the_world(n_walks, longest):
    city_NT = random_walks(*sparse_rows(GRAPH), n_walks, longest, np.random.default_rng(0))
    assert city_NT.shape == (n_walks, longest) and city_NT.dtype == np.int32
    for walk in as_tuples(city_NT):
        assert 1 <= len(walk) <= min(longest, 5) and len(set(walk)) == len(walk)
        assert all(there in GRAPH[here] for here, there in pairwise(walk))
    assert n_walks < 500 or {walk[0] for walk in as_tuples(city_NT)} == set(GRAPH)


def test_walks_from_a_world_without_any_neighbours_end_where_they_start():
    found = as_tuples(random_walks(np.zeros(4, np.int64), np.zeros(0, np.int64), 100, 5, np.random.default_rng(0)))
    assert set(found) == {(0,), (1,), (2,)}


# --- rows


def test_sizes_names_and_prompts_of_the_splits(real, dense):
    assert {name: len(rows) for name, rows in real.splits.items()} == {"train": 2000, "validation": 50, "test": 150}
    assert list(dense(n_test=0).splits) == ["train", "validation"]
    for rows in real.splits.values():
        assert all(prompt.split("=")[0] == "srd_300" for prompt in rows["prompt"])


def test_every_step_of_every_walk_is_legal_by_the_ball_tree(real, tree_neighbours):
    steps = 0
    for rows in real.splits.values():
        for walk in written(rows):
            assert 1 <= len(walk) <= 16 and len(set(walk)) == len(walk)
            for here, there in pairwise(walk):
                assert there in tree_neighbours[here]
                steps += 1
    assert steps > 5000


def test_walks_start_anywhere(real):
    starts = np.bincount([walk[0] for walk in written(real.splits["train"])], minlength=1000)
    assert stats.chisquare(starts.reshape(50, 20).sum(axis=1)).pvalue > 1e-3


def test_answers_are_read_back_as_the_walks_they_are(real):
    for rows in real.splits.values():
        read = [tuple(parse_walk(p, a)) for p, a in zip(rows["prompt"], rows["answer"], strict=True)]
        assert read == written(rows)
    assert "" in real.splits["train"]["answer"]


def test_walks_go_over_the_ids_of_a_file_not_its_rows(tmp_path):
    table = tmp_path / "cities.csv"
    table.write_text("id,name,latitude,longitude,country\n70,A,0,0,X\n12,B,0,1,X\n505,C,50,180,X\n9,D,50,179,X\n")
    options = RandomWalkOptions(cities_csv=str(table), radius_km=200, n_train=200, n_val=1, n_test=0)
    found = {walk for rows in build(options).splits.values() for walk in written(rows)}
    assert found == {(70,), (12,), (505,), (9,), (70, 12), (12, 70), (505, 9), (9, 505)}


def test_an_id_of_ten_digits_is_read_back_or_refused(tmp_path):
    table = tmp_path / "cities.csv"
    table.write_text("id,name,latitude,longitude,country\n3000000000,A,0,0,X\n5,B,1,1,X\n7,C,3,3,Y\n")
    try:
        options = RandomWalkOptions(cities_csv=str(table), radius_km=1000, n_train=30, n_val=1, n_test=0)
        rows = build(options).splits["train"]
    except UserError:
        return
    assert [tuple(parse_walk(p, a)) for p, a in zip(rows["prompt"], rows["answer"], strict=True)] == written(rows)


@pytest.mark.parametrize("dataset_seed", range(4))
def test_evaluated_walks_are_different_ones_and_never_trained_on(dataset_seed, dense):
    splits = dense(dataset_seed=dataset_seed).splits
    evaluated = written(splits["validation"]) + written(splits["test"])
    train = written(splits["train"])
    assert len(evaluated) == len(set(evaluated)) == 80
    assert len(train) == 1500 and not set(train) & set(evaluated)
    assert len(set(train)) < len(train)  # walks do coincide here: without care some would be evaluated ones


def test_training_walks_are_those_left_by_the_evaluated_ones_as_often_as_they_should(dense, dense_world):
    indptr, indices = neighbour_lists(dense_world, 3000)
    graph = {city: indices[indptr[city] : indptr[city + 1]].tolist() for city in range(60)}
    splits = dense(n_train=6000).splits
    evaluated = {*written(splits["validation"]), *written(splits["test"])}
    left = {walk: p for walk, p in exact_probabilities(graph, 3).items() if walk not in evaluated}
    train = written(splits["train"])
    assert set(train) <= set(left)
    total = sum(left.values())
    for end in (0, -1):
        expected = np.zeros(60)
        for walk, probability in left.items():
            expected[walk[end]] += probability / total
        counts = np.bincount([walk[end] for walk in train], minlength=60)
        possible = expected > 0  # the only walk of a lonely city may be an evaluated one
        assert stats.chisquare(counts[possible], expected[possible] * 6000).pvalue > 1e-3


def test_more_or_fewer_training_walks_leave_the_evaluated_ones_what_they_are(dense):
    usual = dense()
    for n_train in (1, 4000):
        other = dense(n_train=n_train)
        assert len(other.splits["train"]) == n_train
        for name in ("validation", "test"):
            assert other.splits[name].to_dict() == usual.splits[name].to_dict()
            assert other.facts["baselines"][name] == usual.facts["baselines"][name]


def test_too_few_different_walks_are_refused(dense):
    with pytest.raises(UserError, match=r"3 different walks with a step .* the world seems to have 0; ask for fewer"):
        dense(radius_km=1, n_val=1, n_test=2)
    few = {"longest_walk": 2, "n_train": 10, "radius_km": 20_015}  # 60 * 59 walks of a step
    assert len(dense(**few, n_val=0, n_test=60 * 59).splits["test"]) == 60 * 59
    with pytest.raises(UserError, match="3,541 different walks with a step"):
        dense(**few, n_val=0, n_test=60 * 59 + 1)


def test_without_evaluated_walks_there_is_a_train_split_only(dense):
    splits = dense(n_val=0, n_test=0).splits
    assert list(splits) == ["train"] and len(splits["train"]) == 1500


def test_walks_of_one_city_have_empty_answers_and_are_not_evaluated(dense):
    splits = dense(longest_walk=1, n_val=0, n_test=0).splits
    assert set(splits["train"]["answer"]) == {""}
    splits = dense(n_val=40, n_test=60).splits
    assert "" in splits["train"]["answer"] and not {""} & {*splits["validation"]["answer"], *splits["test"]["answer"]}


def test_the_seed_decides(dense):
    usual = digests(dense().splits)
    assert digests(dense().splits) == usual
    others = [digests(dense(dataset_seed=seed).splits) for seed in (0, 1)] + [usual]
    assert all(len({found[name] for found in others}) == 3 for name in usual)


def test_the_rows_are_the_same_in_another_process(real):
    code = (
        "import json; from tasks.geography.random_walk.data import build;"
        "from tasks.geography.random_walk.options import RandomWalkOptions as O;"
        "from trainers.folders import dataset_folder;"
        f"splits = build(O(**{REAL!r})).splits;"
        "print(json.dumps({name: dataset_folder.digest(rows) for name, rows in splits.items()}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert json.loads(done.stdout) == digests(real.splits)


def test_the_facts_are_what_can_be_counted(real, world, tree_neighbours):
    counts = [len(found) for found in tree_neighbours]
    assert real.facts["neighbours"] == {"mean": pytest.approx(np.mean(counts)), "cities_without": counts.count(0)}
    assert real.facts["world"] == {"cities": 1000, "sha256": world.digest()}
    for name, rows in real.splits.items():
        assert real.facts["length_mean"][name] == pytest.approx(np.mean([len(walk) for walk in written(rows)]))


def test_the_baseline_goes_anywhere_from_the_same_starts_for_as_many_steps(tmp_path):
    """Steps start in a crowd of 100 of the 200 cities only, so that 99 of 200 cities drawn at random are legal."""
    crowd = [f"Crowd {i},0,{i / 200},X" for i in range(100)]
    lonely = [f"Lonely {i},{-75 + 1.5 * i},90,X" for i in range(100)]
    table = tmp_path / "cities.csv"
    table.write_text("\n".join(["name,latitude,longitude,country", *crowd, *lonely]))
    options = RandomWalkOptions(cities_csv=str(table), radius_km=100, longest_walk=2, n_train=10, n_val=150, n_test=150)
    built = build(options)
    for name in ("validation", "test"):
        found, steps = built.facts["baselines"][name], sum(len(walk) - 1 for walk in written(built.splits[name]))
        legal = round(found["legal_steps"] * steps)
        assert steps > 40 and found["legal_steps"] == pytest.approx(legal / steps)
        assert stats.binomtest(legal, steps, 99 / 200).pvalue > 1e-3
        assert found["length_mean"] == pytest.approx(built.facts["length_mean"][name])
        assert found["legal_walks"] == pytest.approx(1 - (steps - legal) / 150)


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


def test_every_true_walk_is_legal_and_every_turned_back_one_is_not(real, world):
    table = {"city_id": world.city_id, "lat_deg": world.lat_deg, "lon_deg": world.lon_deg, "radius_km": 300}
    true = [list(walk) for walk in written(real.splits["test"])]
    perfect = WalkLegality().compute(predictions=true, references=true, **table)
    assert perfect["legal_steps"] == perfect["legal_walks"] == perfect["parse_rate"] == 1
    assert perfect["length_mean"] == perfect["expected_length_mean"] > 3
    long = [walk for walk in true if len(walk) > 1]
    back = [[*walk, walk[-2]] for walk in long]
    found = step_legality(back, **table)
    assert len(back) > 50
    assert all(steps[:-1].all() and not steps[-1] for steps in found)
    assert WalkLegality().compute(predictions=back, references=long, **table)["legal_walks"] == 0


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
    with pytest.raises(ValueError, match="is no prompt of random_walk"):
        parse_walk(prompt, ",c_1")


def test_the_share_of_one_walk_is_that_of_its_steps_and_0_if_it_cannot_be_read():
    assert _share([8, 3, 5, 9], np.array([True, True, False])) == pytest.approx(2 / 3)
    assert _share([8], np.zeros(0, bool)) == 1 and _share([], np.zeros(0, bool)) == 0


def test_places_of_a_walk_are_those_of_its_ids_and_nan_where_no_city_is():
    n = len(LINE["city_id"])
    cities = Cities(**LINE, name=("",) * n, country=("",) * n, population=np.full(n, -1))
    np.testing.assert_array_equal(_places(cities, [9, 8, 0, 3]), [[0, 50], [0, 0], [np.nan, np.nan], [0, 1]])
    assert _places(cities, []).shape == (0, 2)
