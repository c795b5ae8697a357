"""Batches against the rows that they are made of, and damaged datasets."""

from itertools import chain

import datasets
import numpy as np
import pytest
import torch

from tasks.arc.data import FEATURES
from tasks.arc.grids import BOS, EOS, PAD, read_grid
from tests.helpers import refusal, same
from trainers.contract import IGNORE

from .grid_helpers import SPLITS, equal, padded, shown, written
from .row_helpers import episodes_of, flat

BRIDGES = ["none", "concat_mlp", "cross_attention"]


@pytest.mark.parametrize("split", SPLITS)
def test_rows_have_the_grids_of_the_dataset(split, make, stored):
    rows = make(split)
    assert len(rows) == len(stored[split]) and rows.n_shown_N.tolist() == [2] * len(rows)
    assert rows.tasks.tolist() == [name for name, _, _ in stored[split]]
    found = episodes_of(rows, list(range(len(rows))))
    for (query, context), (_, true_query, true_context) in zip(found, stored[split], strict=True):
        assert len(context) == 2 and equal(flat(query, context), flat(true_query, true_context))
    assert rows.length_N.tolist() == [len(written(a)) + len(written(b)) for _, (a, b), _ in stored[split]]
    for row in (0, len(rows) - 1):
        assert equal(*(list(chain(*pairs)) for pairs in (rows.demonstrations(row), stored[split][row][2])))


def test_the_longest_answer_is_the_largest_grid_and_its_end(make):
    assert make().longest_answer == len(written(np.zeros((10, 10)))) + 1
    assert make(max_side=30).longest_answer == len(written(np.zeros((30, 30)))) + 1


@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("split", ["train", "unseen_tasks"])
def test_input_labels_and_context_of_an_encoder_decoder(bridge, split, make, stored):
    rows, chosen = make(split, bridge=bridge), [15, 3, 3, 11, 0]
    batch, prompts = rows.__getitems__(chosen), rows.prompts(chosen)
    episodes = [stored[split][row][1:] for row in chosen]
    assert batch["input_ids"].tolist() == padded([written(before) for (before, _), _ in episodes])
    assert batch["labels"].tolist() == padded([[*written(after), EOS] for (_, after), _ in episodes], IGNORE)
    names = {"input_ids", "labels"}
    if bridge != "none":
        names.add("context_ids")
        pieces = padded([ids for _, context in episodes for ids in shown(context)])
        assert batch["context_ids"].tolist() == [pieces[2 * place : 2 * place + 2] for place in range(5)]
    assert set(batch) == names
    assert set(prompts) == names - {"labels"} and all(torch.equal(batch[name], ids) for name, ids in prompts.items())
    assert batch["input_ids"].dtype == torch.uint8 and batch["labels"].dtype == torch.int64
    for line, ((_, after), _) in zip(batch["labels"].numpy(), episodes, strict=True):
        np.testing.assert_array_equal(read_grid(np.where(line == IGNORE, PAD, line)), after)


@pytest.mark.parametrize("bridge", ["none", "prompt"])
@pytest.mark.parametrize("split", ["train", "unseen_tasks"])
def test_labels_of_a_decoder_are_the_next_tokens_of_the_output_alone(bridge, split, make, stored):
    rows, chosen = make(split, "decoder_only", bridge), [5, 15, 2, 9]
    batch, prompts = rows.__getitems__(chosen), rows.prompts(chosen)
    episodes = [stored[split][row][1:] for row in chosen]
    fronts = [
        [*(chain(*shown(context)) if bridge == "prompt" else ()), *written(before)] for (before, _), context in episodes
    ]
    answers = [[*written(after), EOS] for (_, after), _ in episodes]
    whole = padded([[*front, BOS, *answer] for front, answer in zip(fronts, answers, strict=True)])
    assert set(batch) == {"input_ids", "labels"} and set(prompts) == {"input_ids"}
    assert batch["input_ids"].tolist() == [ids[:-1] for ids in whole]
    silent = [[IGNORE] * len(front) + answer for front, answer in zip(fronts, answers, strict=True)]
    assert batch["labels"].tolist() == padded(silent, IGNORE)
    assert prompts["input_ids"].tolist() == padded(fronts)
    for ids, labels in zip(whole, batch["labels"].tolist(), strict=True):
        assert all(label in (IGNORE, following) for label, following in zip(labels, ids[1:], strict=True))


@pytest.mark.parametrize(
    ("architecture", "bridge"), [("encoder_decoder", "cross_attention"), ("decoder_only", "prompt")]
)
def test_rows_may_have_different_numbers_of_demonstrations(architecture, bridge, data, make, stored):
    numbers = [1 + row % 2 for row in range(84)]
    columns = {
        name: [shown[:n] for shown, n in zip(data.splits["train"][name], numbers, strict=True)]
        for name in ("context_inputs", "context_outputs")
    }
    rows, chosen = make("train", architecture, bridge, damaged(data, **columns)), [15, 3, 40, 11, 0]
    batch = rows.__getitems__(chosen)
    contexts = [stored["train"][row][2][: numbers[row]] for row in chosen]
    if bridge == "prompt":
        fronts = [
            [*chain(*shown(context)), *written(stored["train"][row][1][0])]
            for row, context in zip(chosen, contexts, strict=True)
        ]
        assert rows.prompts(chosen)["input_ids"].tolist() == padded(fronts)
    else:
        pieces = padded([ids for context in contexts for ids in [*shown(context), []][:2]])
        assert batch["context_ids"].tolist() == [pieces[2 * place : 2 * place + 2] for place in range(5)]
    for row, (query, context), expected in zip(chosen, episodes_of(rows, chosen), contexts, strict=True):
        assert equal(flat(query, context), flat(stored["train"][row][1], expected))
    assert len(rows.__getitems__([0, 2])["input_ids"]) == 2  # of rows that all have one


def test_rows_of_a_part_of_a_table_are_those_of_the_whole(data, make):
    chosen = [40, 41, 42, 7, 8, 60]
    part = datasets.concatenate_datasets([data.splits["train"].select([i]) for i in chosen])
    assert same(make(table=part).__getitems__(list(range(6))), make().__getitems__(chosen))


def damaged(data, split="train", **columns):
    """A table with other columns; None: without the column."""
    table = data.splits[split]
    kept = {name: columns.get(name, table[name][:]) for name in table.column_names}
    return datasets.Dataset.from_dict(
        {name: column for name, column in kept.items() if column is not None},
        features=datasets.Features({name: FEATURES[name] for name in FEATURES if kept[name] is not None}),
    )


def replaced(data, name, grid):
    """The column with another grid in its row 7."""
    column = data.splits["train"][name][:]
    column[7] = [column[7][0], grid] if name.startswith("context") else grid
    return column


GRID_COLUMNS = ["input", "output", "context_inputs", "context_outputs"]


@pytest.mark.parametrize("name", GRID_COLUMNS)
@pytest.mark.parametrize(
    "grid",
    [[[1, 2], [3]], [[1], [2, 3], [4]], [[1, 12]], [[10]], [[255]], [], [[]], [[1], []], [[1] * 31], [[1]] * 31],
)
def test_damaged_grids_are_refused(name, grid, data, make):
    with refusal(name):
        make(table=damaged(data, **{name: replaced(data, name, grid)}))


@pytest.mark.parametrize("name", ["task", *GRID_COLUMNS])
def test_missing_columns_are_refused(name, data, make):
    with refusal("train", name):
        make(table=damaged(data, **{name: None}))


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"context_inputs": [[[[1]]]] + [[[[1]], [[2]]]] * 83}, "more demonstration inputs than outputs, or fewer"),
        ({"context_inputs": [[[[1]]]] * 84}, "more demonstration inputs than outputs, or fewer"),
        ({"context_inputs": [[]] * 84, "context_outputs": [[]] * 84}, "without demonstrations"),
        ({"input": [[[1, None]]] + [[[1, 2]]] * 83}, "missing values"),
        ({"task": [None] * 84}, "without a task"),
    ],
)
def test_tables_with_holes_are_refused(columns, names, data, make):
    with refusal(*names.split()):
        make(table=damaged(data, **columns))


def test_columns_of_other_types_are_refused(data, make):
    table = data.splits["train"].remove_columns("input").add_column("input", ["1/2"] * 84)
    with refusal("train", "input"):
        make(table=table)


def test_a_task_with_too_few_rows_to_draw_from_is_refused(data, make):
    with refusal("--resample_context", 2):
        make(table=data.splits["train"].select([0, 1, 6, 7, 8, 9]), resample_context=True)


def test_splits_without_rows_are_refused(data, make):
    for split in SPLITS:
        with refusal(split):
            make(split, table=data.splits[split].select([]))
    with refusal("train"):
        make(table=damaged(data, **{name: [] for name in FEATURES}))


def test_tasks_whose_rows_are_not_together_are_refused(data, make):
    n = len(data.splits["train"])
    make(table=data.splits["train"].select(range(n - 1, -1, -1)))  # in any order, as long as they are together
    for order in ([*range(1, n), 0], [0, 6, *range(1, 6), *range(7, n)], np.random.default_rng(0).permutation(n)):
        with refusal("train", "task"):
            make(table=data.splits["train"].select(order))
