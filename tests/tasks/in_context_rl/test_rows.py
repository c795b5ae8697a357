"""Rows are stretches of the histories that they are cut from, drawn by seed, epoch and row."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy import stats
from torch.utils.data import DataLoader

from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.model import HistoryConfig
from tasks.in_context_rl.rooms import Room, darkroom
from tasks.in_context_rl.rows import HistoryRows
from tests.helpers import printed_elsewhere, refusal
from trainers import registry
from trainers.folders import dataset_folder
from trainers.sampling import row_uniform

from .model_helpers import MODELS, TINY, as_rows
from .room_helpers import decoded

SMALL = {"size": 5, "n_streams": 3, "history_steps": 200, "eval_streams": 1}

LENGTHS = {0: 30, 1: 50, 3: 90}
"""Steps of a stretch by depth, with a window of 30 of which 10 stay."""

DEPTHS = "0:6,3:2,1:2"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    task = registry.load("darkroom")
    return dataset_folder.build_or_load(task, task.options(**SMALL), tmp_path_factory.mktemp("rooms"))


def rows_of(data, split="train", table=None, depth_weights=DEPTHS, **options):
    config = HistoryConfig(architecture="compressed_ad", size=5, window=30, keep=10, depth_weights=depth_weights)
    table = data.splits[split] if table is None else table
    return HistoryRows(split, table, Room(**data.metadata["room"]), config, {**data.metadata["options"], **options})


@pytest.fixture
def train(data):
    return rows_of(data)


@pytest.fixture(scope="module")
def expected(data):
    """Split -> row -> every step of the whole history as its fields are read back, from the table's lists."""
    return {split: [fields_of(row) for row in table.to_list()] for split, table in data.splits.items()}


def fields_of(row):
    found = []
    for number, cell in enumerate(row["cell"]):
        before = [None] * 4
        if number:
            before = [*divmod(row["next_cell"][number - 1], 5), row["action"][number - 1], row["reward"][number - 1]]
        found.append([*divmod(cell, 5), *before, number % 20 == 0])
    return found


def read_back(batch):
    return [[decoded(5, ids) for ids in row] for row in batch["steps"].tolist()]


def test_batches_are_stretches_of_the_histories_of_one_length(train, data, expected):
    table, seen = data.splits["train"].to_list(), Counter()
    for epoch in range(6):
        train.set_epoch(epoch)
        for rows in np.random.default_rng(epoch).permutation(len(train)).reshape(-1, 6).tolist():
            depth = train.draw_depth(rows)
            length = LENGTHS[depth]
            batch = train.__getitems__(rows)
            assert batch.keys() == {"steps", "labels"}
            assert batch["steps"].shape == (6, length, 7) and batch["labels"].shape == (6, length)
            assert str(batch["steps"].dtype) == str(batch["labels"].dtype) == "torch.int64"
            starts = train.draw_start(np.array(rows), length).tolist()
            for row, start, fields, labels in zip(
                rows, starts, read_back(batch), batch["labels"].tolist(), strict=True
            ):
                assert 0 <= start <= 200 - length
                assert fields == expected["train"][row][start : start + length]
                assert labels == table[row]["action"][start : start + length]
                nothing = [number for number, step_ in enumerate(fields) if None in step_]
                assert nothing == ([0] if start == 0 else [])
            seen[depth] += 6
    assert seen.keys() == LENGTHS.keys()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_evaluated_are_whole_histories(split, data, expected):
    rows = rows_of(data, split)
    chosen = list(range(len(rows)))[::-1]
    batch = rows.__getitems__(chosen)
    assert read_back(batch) == [expected[split][row] for row in chosen]
    assert batch["labels"].tolist() == [data.splits[split][row]["action"] for row in chosen]
    rows.set_epoch(5)
    assert all(bool((part == batch[name]).all()) for name, part in rows.__getitems__(chosen).items())


def test_a_row_is_the_same_stretch_in_every_batch_of_its_depth(train, data):
    by_depth = {}
    for row in range(len(train)):
        by_depth.setdefault(train.draw_depth([row]), []).append(row)
    assert len(by_depth) == 3
    for leaders in by_depth.values():
        found = {}
        for leader in leaders:
            for others in ([], [7, 1], [1, 40, 7, 3]):
                batch = rows_of(data).__getitems__([leader, *others])
                for place, row in enumerate([leader, *others]):
                    stretch = batch["steps"][place].tolist(), batch["labels"][place].tolist()
                    assert found.setdefault(row, stretch) == stretch


def test_batches_are_the_same_in_another_process(train):
    chosen = [[5, 3, 9], [30, 3], [7], [1, 2]]
    train.set_epoch(2)
    loader = DataLoader(train, batch_sampler=chosen, collate_fn=lambda batch: batch, num_workers=1)
    for batch, rows in zip(loader, chosen, strict=True):
        assert all(torch.equal(part, batch[name]) for name, part in train.__getitems__(rows).items())


def test_rows_and_draws_are_the_same_under_another_hash_seed(data):
    code = f"""
import json
import numpy as np
from trainers import registry
from trainers.folders.splits import digest
from trainers.sampling import row_uniform
task = registry.load("darkroom")
splits = task.load("build_dataset")(task.options(**{SMALL!r})).splits
digests = {{name: digest(table) for name, table in splits.items()}}
print(json.dumps([digests, row_uniform([42, 2], "start", np.arange(50), 2).tolist()]))
"""
    assert json.loads(printed_elsewhere(code)) == [
        {name: facts["sha256"] for name, facts in data.metadata["splits"].items()},
        row_uniform([42, 2], "start", np.arange(50), 2).tolist(),
    ]


def test_depths_come_as_often_as_gives_them_their_shares(train):
    counts = Counter()
    for epoch in range(70):
        train.set_epoch(epoch)
        counts.update(train.draw_depth([row]) for row in range(len(train)))
    n = sum(counts.values())
    # Of a stretch of depth 3 are 30, 20 and 40 of 90 steps of depth 0, 1 and more: 0.45 x 40 / 90 is the asked 0.2.
    assert stats.chisquare([counts[0], counts[1], counts[3]], [n * 0.3, n * 0.25, n * 0.45]).pvalue > 1e-3


def test_steps_are_weighed_where_drawing_alone_does_not_give_the_shares(data):
    rows = rows_of(data, depth_weights="0:1,1:2,3:3")
    batch = rows.__getitems__([4, 0, 9])
    assert batch["labels"].shape == batch["weights"].shape == (3, LENGTHS[3])
    assert str(batch["weights"].dtype) == "torch.float32"
    for weights in batch["weights"].double():
        found = [weights[first:last].sum() for first, last in ((0, 30), (30, 50), (50, 90))]
        assert np.array(found) / 90 == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert "weights" not in rows_of(data, "test", depth_weights="0:1,1:2,3:3").__getitems__([0])


def test_stretches_begin_anywhere_and_those_beyond_an_end_are_moved_inside(train):
    n_steps, n_rows = 200, 60_000
    for length in LENGTHS.values():
        starts = np.bincount(train.draw_start(np.arange(n_rows), length), minlength=n_steps - length + 1)
        every = Counter(min(max(0, first), n_steps - length) for first in range(-length, n_steps + 1))
        assert len(starts) == len(every)
        weight = np.array([every[start] for start in range(len(starts))]) / (n_steps + length + 1)
        assert stats.chisquare(starts, weight * n_rows).pvalue > 1e-3


def test_no_step_is_in_fewer_stretches_than_those_in_the_middle(train):
    n_steps, n_rows = 200, 60_000
    for length in LENGTHS.values():
        covered = np.zeros(n_steps)
        for start, count in Counter(train.draw_start(np.arange(n_rows), length).tolist()).items():
            covered[start : start + length] += count
        assert covered.min() > 0.93 * n_rows * length / (n_steps + length + 1)


def test_stretches_as_long_as_a_history_are_all_of_it(data):
    rows = rows_of(data, depth_weights="0:1,8:1")  # 30 + 8 * 20 = 190 of 200 steps
    assert set(rows.draw_start(np.arange(3000), 190).tolist()) == set(range(11))
    with refusal(9, 210, 200):
        rows_of(data, depth_weights="0:1,9:1")
    assert len(rows_of(data, "test", depth_weights="0:1,9:1")) == 3  # whole histories, however long


def test_other_epochs_and_seeds_are_other_draws(data):
    def draws(epoch, **options):
        rows = rows_of(data, **options)
        rows.set_epoch(epoch)
        return rows.draw_start(np.arange(2000), 30), [rows.draw_depth([row]) for row in range(300)]

    usual, usual_depths = draws(0)
    assert draws(0)[0].tolist() == usual.tolist() and draws(0)[1] == usual_depths
    for other, depths in (draws(1), draws(2), draws(0, dataset_seed=43)):
        assert (other != usual).mean() > 0.9 and abs(np.corrcoef(other, usual)[0, 1]) < 0.1
        assert np.mean(np.array(depths) != usual_depths) > 0.4


def test_starts_do_not_follow_from_the_depth(train):
    starts = train.draw_start(np.arange(2000), 30)
    depth = np.array([train.draw_depth([row]) for row in range(2000)])
    assert stats.kruskal(*(starts[depth == one] for one in LENGTHS)).pvalue > 1e-3


def test_tasks_and_returns_are_those_of_the_table(train, data):
    found, facts = train.tasks()
    table = data.splits["train"].to_list()
    first = {row["task"]: (place, row) for place, row in reversed(list(enumerate(table)))}
    in_order = sorted(first.values(), key=lambda pair: pair[0])
    assert facts["row"].tolist() == [place for place, _ in in_order] and len(in_order) == 14
    assert found.goals_NG.tolist() == [row["goals"] for _, row in in_order]
    assert found.moves_NA.tolist() == [row["moves"] for _, row in in_order]
    for name in ("task", "label", "optimal_return"):
        assert facts[name].tolist() == [row[name] for _, row in in_order]
    assert facts["random_return"] == pytest.approx([row["random_return"] for _, row in in_order], rel=1e-6)
    assert train.returns().tolist() == [
        [sum(row["reward"][first : first + 20]) for first in range(0, 200, 20)] for row in table
    ]


def test_chosen_rows_of_a_table_are_rows(train, data):
    for chosen in ([4, 5, 6, 7], [9, 2, 30], [41]):
        some = rows_of(data, table=data.splits["train"].select(chosen))
        for name in STEP_COLUMNS:
            assert some.columns[name].tolist() == train.columns[name][chosen].tolist()
        assert some.task_N.tolist() == train.task_N[chosen].tolist()


def damaged(data, change):
    columns = data.splits["train"].select(range(3)).to_dict()
    change(columns)
    return Dataset.from_dict(columns)


def put(name, value):
    return lambda columns: columns[name][1].__setitem__(-1, value)


def cut(*lengths):
    def change(columns):
        for name in STEP_COLUMNS:
            columns[name] = [(row * 2)[:length] for row, length in zip(columns[name], lengths, strict=True)]

    return change


@pytest.mark.parametrize("name", [*STEP_COLUMNS, "task"])
def test_missing_columns_are_refused(name, data):
    with refusal("train", name):
        rows_of(data, table=data.splits["train"].remove_columns(name))


@pytest.mark.parametrize(
    ("name", "value"),
    [("action", 7), ("action", 5), ("action", -1), ("reward", 2), ("cell", 25), ("next_cell", 25), ("cell", -1)],
)
def test_values_that_do_not_exist_are_refused(name, value, data):
    assert len(rows_of(data, table=damaged(data, lambda columns: None))) == 3
    with refusal("train", name):
        rows_of(data, table=damaged(data, put(name, value)))


@pytest.mark.parametrize("name", STEP_COLUMNS)
def test_gaps_are_refused(name, data):
    for change in (put(name, None), lambda columns: columns[name].__setitem__(1, None)):
        with refusal("train", name):
            rows_of(data, table=damaged(data, change))


@pytest.mark.parametrize(
    "change",
    [
        cut(200, 199, 200),
        cut(190, 190, 190),
        cut(0, 0, 0),
        lambda columns: columns.update(action=[3, 3, 3]),
        lambda columns: columns.update(action=["a", "b", "c"]),
        lambda columns: columns.update(cell=[[1.0] * 200] * 3),
        lambda columns: columns.update(cell=[["1"] * 200] * 3),
        lambda columns: [values.clear() for values in columns.values()],
        lambda columns: columns.update(cell=[[1] * 180, [1] * 220, [1] * 200]),
        lambda columns: columns.pop("label"),
        lambda columns: columns.update(goals=[[25], [0], [1]]),
        lambda columns: columns.update(goals=[[1, 2]] * 3),
        lambda columns: columns.update(moves=[[0, 1, 2, 3, 3]] * 3),
        lambda columns: columns.update(task=[None, 1, 2]),
        lambda columns: columns.update(probability=[[float("nan")] * 200] * 3),
    ],
)
def test_columns_that_are_no_histories_are_refused(change, data):
    with refusal("train"):
        rows_of(data, table=damaged(data, change))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_training_batch_ends_with_the_last_step_of_its_depth(depth):
    world, n_steps = darkroom(3, 5), 25
    config = HistoryConfig(**{**TINY, **MODELS["gated"], "window": 5, "keep": 2, "depth_weights": f"{depth}:1"})
    columns = dict.fromkeys(("cell", "action", "reward", "next_cell", "probability"), np.ones((4, n_steps)))
    length = as_rows(world, config, columns, "train").__getitems__([2, 0, 1])["labels"].shape[1]
    assert config.schedule.depth(length - 1) == depth == config.schedule.depth(length) - 1
