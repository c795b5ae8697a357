"""The dataset of random_walk against scikit-learn's ball tree."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from geo.cities import load_cities
from geo.neighbours import neighbour_lists
from tasks.geography.random_walk import RandomWalkOptions, data
from tasks.geography.random_walk.answers import parse_walk
from tasks.geography.random_walk.data import build
from tasks.geography.random_walk.metric import WalkLegality, step_legality
from tests.helpers import digests, refusal
from trainers import registry
from trainers.contract import Pieces
from trainers.errors import UserError
from trainers.folders import dataset_folder

from .walk_helpers import DENSE, REAL, exact_probabilities, written


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


def test_fewer_training_walks_are_the_first_of_more(dense):
    few, many = (dense(n_train=n).splits["train"].to_dict() for n in (700, 1500))
    assert few == {name: values[:700] for name, values in many.items()}


@pytest.mark.parametrize("cuts", [[0, 1500], [0, 1, 399, 400, 401, 1200, 1500], [0, 777, 1500]])
def test_the_rows_are_the_same_whatever_the_pieces(cuts, dense, monkeypatch):
    monkeypatch.setattr(data, "_BLOCK", 400)
    whole = dense()
    monkeypatch.setattr(Pieces, "SIZE", 500)
    pieces = dense()
    train = pieces.splits["train"]
    assert isinstance(train, Pieces) and len(train) == 1500
    made = [train.make(start, stop).to_dict() for start, stop in pairwise(cuts)]
    joined = {name: [value for part in made for value in part[name]] for name in made[0]}
    assert joined == whole.splits["train"].to_dict()
    assert digests({**pieces.splits, "train": train.make(0, 1500)}) == digests(whole.splits)
    assert set(pieces.facts["length_mean"]) == {"validation", "test"} == set(pieces.facts["baselines"])
    assert not set(written(train.make(0, 1500))) & {
        *written(whole.splits["validation"]),
        *written(whole.splits["test"]),
    }


def test_blocks_of_walks_are_drawn_apart(dense, monkeypatch):
    monkeypatch.setattr(data, "_BLOCK", 400)
    train = written(dense().splits["train"])
    blocks = [tuple(train[start : start + 400]) for start in (0, 400, 800)]
    assert len(set(blocks)) == 3


def test_the_files_are_the_same_whatever_the_number_of_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(Pieces, "SIZE", 700)
    task = registry.load("random_walk")
    options = task.options(**DENSE)
    one, two = (dataset_folder.build_or_load(task, options, tmp_path / str(n), num_proc=n) for n in (1, 2))
    assert one.metadata["splits"] == two.metadata["splits"] and len(one.metadata["splits"]["train"]["pieces"]) == 3
    for name in ("train", "token_ids/train"):
        files = [path for path in sorted((one.path / name).iterdir()) if path.suffix != ".json"]
        assert len(files) == 3
        for file in files:
            assert file.read_bytes() == (two.path / name / file.name).read_bytes()


def test_too_few_different_walks_are_refused(dense):
    with refusal("--n_val", "--n_test", "--radius_km", 3, 0):
        dense(radius_km=1, n_val=1, n_test=2)
    few = {"longest_walk": 2, "n_train": 10, "radius_km": 20_015}  # 60 * 59 walks of a step
    assert len(dense(**few, n_val=0, n_test=60 * 59).splits["test"]) == 60 * 59
    with refusal("3,541"):
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
