"""The datasets of the dark rooms: splits, kept episodes, seeds."""

from itertools import chain

import numpy as np
import pytest

from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.rooms import shuffled_split
from tests.helpers import assert_named, digests, refusal
from trainers import registry

from .room_helpers import FAMILIES, families, walked

TINY = {"size": 4, "horizon": 10, "n_streams": 2, "history_steps": 40, "eval_streams": 2, "n_val_tasks": 3}


def built(name, **options):
    task = registry.load(name)
    return task.load("build_dataset")(task.options(**options))


def sizes_of(found):
    """Tasks of every split."""
    return {name: len(set(split["task"])) for name, split in found.splits.items()}


@families
def test_splits_are_the_published_ones_and_share_no_task(name):
    sizes = {"darkroom": (73, 8, 8), "darkroom_permuted": (108, 12, 12), "dark_key_to_door": (594, 64, 31)}[name]
    whole, n_val, n_test = sizes
    options = {"size": 5} if name == "dark_key_to_door" else {}  # 6,561 tasks take seconds
    options |= {"n_streams": 2, "eval_streams": 1, "history_steps": 50 if name != "darkroom" else 20}
    found = built(name, **options)
    defaults = registry.load(name).options(**options)
    order = shuffled_split(whole + n_test, defaults.train_share, defaults.split_seed)
    numbers = {split: list(dict.fromkeys(rows["task"])) for split, rows in found.splits.items()}
    assert numbers == {"train": order[0][:-n_val], "validation": order[0][-n_val:], "test": order[1]}
    assert len(order[0]) == whole and len(order[1]) == n_test
    assert sorted(chain(*numbers.values())) == list(range(whole + n_test))
    world = FAMILIES[name](defaults.size, defaults.horizon)
    for split, rows in found.splits.items():
        assert rows["task"] == [number for number in numbers[split] for _ in range(2 if split == "train" else 1)]
        task = np.array(rows["task"])
        assert rows["label"] == [world.labels[number] for number in task]
        assert rows["goals"] == world.tasks.goals_NG[task].tolist()
        assert rows["moves"] == world.tasks.moves_NA[task].tolist()
        assert np.allclose(rows["random_return"], world.room.random_returns(world.tasks[task]))
        assert rows["optimal_return"] == world.room.optimal_returns(world.tasks[task]).tolist()
    assert found.facts["adjustments"] == [] and found.facts["room"]["horizon"] == defaults.horizon
    if name == "darkroom":
        assert found.facts["tasks"]["test"] == [
            "goal 4,2", "goal 5,6", "goal 6,8", "goal 7,2", "goal 3,6", "goal 0,5", "goal 5,8", "goal 5,4"
        ]  # fmt: skip


@families
def test_rows_are_replayable_with_what_stands_in_them(name):
    for rows in built(name, **TINY).splits.values():
        for row in rows.to_list()[::7]:
            assert {len(row[column]) for column in STEP_COLUMNS} == {40}
            for first in range(0, 40, 10):
                cells, rewards = walked(name, 4, row["task"], row["action"][first : first + 10])
                assert (row["next_cell"][first : first + 10], row["reward"][first : first + 10]) == (cells, rewards)


@families
@pytest.mark.parametrize("keep_every", [2, 4])
def test_kept_episodes_are_whole_and_evenly_spaced(name, keep_every):
    options = {**TINY, "history_steps": 120}
    usual, fewer = built(name, **options), built(name, **options, keep_every=keep_every)
    for split, rows in usual.splits.items():
        kept = fewer.splits[split].to_dict()
        for column, values in rows.to_dict().items():
            if column in STEP_COLUMNS:
                episodes = [[row[first : first + 10] for first in range(0, 120, 10)] for row in values]
                values = [[*chain(*(row[number] for number in range(0, 12, keep_every)))] for row in episodes]
            assert kept[column] == values


def test_equal_options_are_equal_rows_and_another_seed_is_other_rows():
    usual = digests(built("darkroom", **TINY).splits)
    assert digests(built("darkroom", **TINY).splits) == usual
    others = [digests(built("darkroom", **TINY, dataset_seed=seed).splits) for seed in (0, 43, 2**63 - 1)]
    for split in usual:
        assert len({found[split] for found in [usual, *others]}) == 4


def test_splits_of_one_dataset_are_drawn_apart():
    options = {**TINY, "n_val_tasks": 2, "max_train_tasks": 2}
    by_chance = {"source": "fading_oracle", "noise_start": 1.0, "noise_end": 1.0}
    splits = built("darkroom", **options, **by_chance).splits
    assert {len(rows) for rows in splits.values()} == {4}
    assert len({tuple(row["action"]) for rows in splits.values() for row in rows.to_list()}) == 12


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"history_steps": 45}, [45, 10, 50]),
        ({"history_steps": 40, "keep_every": 3}, [40, 30, 60]),
        ({"history_steps": 9}, [9, 10]),
    ],
)
def test_histories_that_are_no_whole_episodes_are_refused(options, numbers):
    with refusal("--history_steps", *numbers):
        built("darkroom", **{**TINY, **options})


def test_held_out_tasks_that_leave_none_to_train_on_are_refused():
    for count in (14, 15, 10_000):  # of 16 tasks 14 train
        with refusal("--n_val_tasks", count, 14, 16):
            built("darkroom", **{**TINY, "n_val_tasks": count})
    assert sizes_of(built("darkroom", **{**TINY, "n_val_tasks": 13})) == {"train": 1, "validation": 13, "test": 2}


@pytest.mark.parametrize(
    ("options", "splits"),
    [
        ({"n_val_tasks": 0}, {"train": 14, "test": 2}),
        ({"train_share": 1}, {"train": 13, "validation": 3}),
        ({"train_share": 1, "n_val_tasks": 0}, {"train": 16}),
    ],
)
def test_splits_that_nobody_asked_for_are_not_there(options, splits):
    assert sizes_of(built("darkroom", **{**TINY, **options})) == splits


def test_fewer_training_tasks_leave_the_other_splits_as_they_are_and_are_stated():
    usual, fewer = built("darkroom", **TINY), built("darkroom", **TINY, max_train_tasks=4)
    (note,) = fewer.facts["adjustments"]
    assert_named(note, 7, 11, "--max_train_tasks")
    assert list(dict.fromkeys(fewer.splits["train"]["task"])) == list(dict.fromkeys(usual.splits["train"]["task"]))[:4]
    for split in ("validation", "test"):
        assert digests(fewer.splits)[split] == digests(usual.splits)[split]
    for enough in (11, 12):
        same = built("darkroom", **TINY, max_train_tasks=enough)
        assert digests(same.splits) == digests(usual.splits) and same.facts["adjustments"] == []


def test_more_streams_leave_the_other_splits_as_they_are():
    usual, more = (
        digests(built("darkroom", **TINY).splits),
        digests(built("darkroom", **{**TINY, "n_streams": 3}).splits),
    )
    assert [name for name in usual if usual[name] != more[name]] == ["train"]
