"""Mixtures: whose rows, in which shares, scored as every member alone would be, resumed bit for bit."""

import shutil

import evaluate
import numpy as np
import pytest

from tests.helpers import refusal, results_of, same, weights
from tests.tasks.test_contract import make_trainer
from trainers import registry
from trainers.folders import dataset_folder
from trainers.folders.sources import code_digest
from trainers.mixtures.data import build, shares_of
from trainers.mixtures.metric import improvement
from trainers.run import main

SIZES = {"n_cities": 32, "n_train": 90, "n_val": 12, "n_test": 18}
NAMES = ("distance", "perimeter", "compass")


@pytest.fixture(scope="module")
def task():
    return registry.load(",".join(NAMES))


@pytest.fixture(scope="module")
def options(task):
    return task.options(**SIZES, mix="3:1:2")


@pytest.fixture(scope="module")
def built(options):
    return build(options)


@pytest.fixture(scope="module")
def alone():
    """Every member's dataset, built by itself."""
    members = {name: registry.load(name) for name in NAMES}
    return {name: of.load("build_dataset")(of.options(**SIZES)) for name, of in members.items()}


# --- the task


def test_a_mixture_is_named_by_its_members_and_loads_again_by_name_and_package(task):
    assert task.name == "distance+perimeter+compass"
    assert registry.load(task.name).name == registry.load(task.package).name == task.name
    assert [member.name for member in task.members] == list(NAMES)


def test_flags_are_those_of_all_members(task):
    names = set(vars(task.options()))
    assert {"geometry", "n_cities", "mix"} <= names == {"mix"}.union(*(vars(of.options()) for of in task.members))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("distance,distance", ["distance,distance", "twice"]),
        ("distance,arc", ["arc", "prompts and answers"]),
        ("darkroom,distance", ["darkroom", "prompts and answers"]),
        ("distance,angel", ["angel", "angle"]),
        ("distance,", ["no task given"]),
    ],
)
def test_what_cannot_be_mixed_is_refused(name, words):
    with refusal(*words):
        registry.load(name)


def test_the_code_of_every_member_counts_for_the_dataset():
    both, one = code_digest(registry.load("distance,compass")), code_digest(registry.load("distance"))
    assert both != one and both != code_digest(registry.load("distance,inside"))


# --- the dataset


def test_training_rows_are_the_first_ones_of_each_member_in_the_asked_shares(built, alone):
    rows = built.splits["train"].to_pandas()
    assert rows["member"].value_counts().to_dict() == {"distance": 90, "perimeter": 30, "compass": 60}
    for name, of in alone.items():
        own = of.splits["train"].to_pandas()
        mixed = rows[rows["member"] == name][own.columns].reset_index(drop=True)
        assert mixed["prompt"].tolist() == own["prompt"][: len(mixed)].tolist()
        assert mixed["answer"].tolist() == own["answer"][: len(mixed)].tolist()


def test_evaluated_rows_are_all_of_each_member(built, alone):
    for split in ("validation", "test"):
        rows = built.splits[split].to_pandas()
        for name, of in alone.items():
            assert rows[rows["member"] == name]["prompt"].tolist() == of.splits[split]["prompt"][:]


def test_trivial_answers_are_the_members_own_and_improve_nothing(built, alone):
    baselines = built.facts["baselines"]["test"]
    assert baselines.pop("improvement_mean") == 0
    expected = {f"{n}_{m}": v for n, of in alone.items() for m, v in of.facts["baselines"]["test"].items()}
    assert baselines == expected


@pytest.mark.parametrize("mix", ["1:2", "1:2:x", "0:0:0", "1:-1:2", "", "1:inf:1", "nan:1:1", "1:2:3:4"])
def test_shares_that_are_none_are_refused(mix):
    with refusal("--mix", "3 tasks"):
        shares_of(mix, 3)


def test_a_member_with_no_share_is_evaluated_only(task):
    built = build(task.options(**SIZES, mix="0:1:0"))
    assert set(built.splits["train"]["member"]) == {"perimeter"} and len(built.splits["train"]) == 90
    assert set(built.splits["test"]["member"]) == set(NAMES)


def test_a_share_too_small_for_a_row_is_refused(task):
    with refusal("--mix", "perimeter"):
        build(task.options(**SIZES, mix="1:0.001:1"))


def test_members_about_different_worlds_are_refused(task, monkeypatch):
    from tasks.geography import questions

    other = questions.load_world(task.options(**{**SIZES, "n_cities": 33}))
    monkeypatch.setattr("tasks.geography.questions.load_world", lambda options: other)
    with refusal("perimeter and distance", "different worlds"):
        build(task.options(**SIZES))


def test_members_may_keep_their_texts_in_different_types():
    walks = registry.load("random_walk,distance")
    built = build(walks.options(n_cities=400, n_train=50, n_val=5, n_test=5, dataset_seed=1))
    assert set(built.splits["train"]["member"]) == {"random_walk", "distance"}


def test_a_plane_is_another_world_than_the_sphere(task):
    with refusal("perimeter and distance", "different worlds"):
        build(task.options(**SIZES, geometry="plane"))


# --- scores


@pytest.fixture(scope="module")
def data(task, options, tmp_path_factory):
    return dataset_folder.build_or_load(task, options, tmp_path_factory.mktemp("mixture"))


@pytest.fixture
def trainer(task, data, tmp_path):
    return make_trainer(task, data, tmp_path)


def test_perfect_answers_improve_all_and_nonsense_worsens(trainer):
    rows = trainer.rows["test"]
    assert trainer.score(rows, list(rows.table["answer"])).metrics["improvement_mean"] == 1
    assert trainer.score(rows, ["((("] * len(rows)).metrics["improvement_mean"] < 0


def test_a_member_is_scored_as_if_it_were_alone(trainer, alone, tmp_path):
    rows, rng = trainer.rows["test"], np.random.default_rng(0)
    answers = rng.permutation(rows.table["answer"][:]).tolist()
    mixed = trainer.score(rows, answers).metrics
    for name in NAMES:
        member = registry.load(name)
        own = make_trainer(
            member,
            dataset_folder.build_or_load(member, member.options(**SIZES), tmp_path),
            tmp_path / name,
        )
        part = [answer for answer, of in zip(answers, rows.table["member"], strict=True) if of == name]
        expected = own.score(own.rows["test"], part).metrics
        assert {metric: mixed[f"{name}_{metric}"] for metric in expected} == expected


def test_the_metric_is_nought_for_trivial_and_one_for_perfect_scores():
    metric = evaluate.load("trainers/mixtures/metric.py")
    given = {"references": [100.0, 0.25], "perfect": [0.0, 1.0]}
    assert metric.compute(predictions=[100.0, 0.25], **given) == {"improvement_mean": 0.0}
    assert metric.compute(predictions=[0.0, 1.0], **given) == {"improvement_mean": 1.0}
    assert metric.compute(predictions=[50.0, 0.25], **given) == {"improvement_mean": 0.25}
    for score, expected in ((140, -0.5), (100, 0), (20, 1), (0, 1.25)):
        assert improvement(np.array(score), 100, 20) == expected  # not clipped
    assert metric.compute(predictions=[0.0, 3.0], references=[0.0, 4.0], perfect=[0.0, 0.0]) == {
        "improvement_mean": 0.125
    }


# --- a run


def test_a_run_ends_as_if_it_had_not_been_interrupted(prefix):
    sizes = [
        "--hidden_size",
        "16",
        "--num_hidden_layers",
        "1",
        "--num_attention_heads",
        "2",
        "--intermediate_size",
        "32",
    ]
    argv = [
        "--task",
        "distance,angle,inside",
        "--mix",
        "2:1:1",
        *(f"--{name}={value}" for name, value in SIZES.items()),
    ]
    steps = ["--max_steps", "4", "--eval_steps", "2", "--save_steps", "2", "--per_device_train_batch_size", "8"]
    whole, cut = prefix / "whole", prefix / "cut"
    assert main([*argv, *sizes, *steps, "--use_cpu", "--output_dir", str(whole)]) == 0
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoint-4")
    (cut / "results.json").unlink()
    assert main(["--output_dir", str(cut), "--resume_from_checkpoint", "last"]) == 0
    assert same(weights(whole), weights(cut))
    timeless = [{k: v for k, v in results_of(folder).items() if not k.endswith("_s")} for folder in (whole, cut)]
    assert timeless[0] == timeless[1]
    assert {"final_test_improvement_mean", "final_test_inside_accuracy"} <= set(timeless[0])
