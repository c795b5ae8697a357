"""The trainer of arc: the best and the worst, figures, answers."""

import copy
import math
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from tasks.arc.baselines import ceiling
from tasks.arc.nearest_patch import nearest_patch
from tasks.arc.trainer import TASKS_NAMED, _per_task
from trainers import registry
from trainers.base import build_rows
from trainers.folders import dataset_folder
from trainers.runs.evaluation import intervals_of

from .score_helpers import GENERATED

SMALL = {"max_side": 10, "pairs_per_task": 8, "n_val": 2, "n_test": 2}

SIZES = {
    "hidden_size": 16,
    "num_encoder_layers": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


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
    return task.load("trainer")(task, data, build_rows(task, data, model), model.eval(), arguments)


@pytest.fixture(scope="module", params=["validation", "unseen_tasks"])
def rows(request, trainer):
    return trainer.rows[request.param]


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


def test_every_evaluation_is_complete(trainer, rows):
    for evaluation in (perfect(trainer, rows), nonsense(trainer, rows)):
        assert np.isfinite(list(evaluation.flat().values())).all()
        assert {len(column) for column in evaluation.samples.values()} == {12}
        assert len(evaluation.values) == len(rows) and np.isfinite(evaluation.values).all()
    assert (perfect(trainer, rows).values == 1).all()
    assert set(nonsense(trainer, rows).samples["generated"]) == {"no grid"}


def test_every_figure_is_drawn(trainer, rows):
    evaluation = (perfect if rows.split == "validation" else nonsense)(trainer, rows)
    assert set(evaluation.figures) == {"episodes.png", "per_task.png"}
    for draw in evaluation.figures.values():
        draw().draw_without_rendering()


def test_the_baselines_stand_beside_and_do_not_depend_on_the_answers(trainer, rows):
    best, worst = perfect(trainer, rows).baselines, nonsense(trainer, rows).baselines
    assert best == worst
    exact = best["exact_match"]
    assert exact[""] == max(exact["copy"], exact["common"], exact["patch"]) and 0 < best["cell_accuracy"]["repeat"] < 1
    patched = [
        np.array_equal(nearest_patch(rows.inputs.numpy(row), rows.demonstrations(row)), rows.outputs.numpy(row))
        for row in range(len(rows))
    ]
    assert exact["patch"] == np.mean(patched)
    copied = [a.tolist() == b.tolist() for a, b in zip(rows.inputs.list(), rows.outputs.list(), strict=True)]
    assert exact["copy"] == np.mean(copied)


def test_the_ceiling_stands_beside_the_metric_for_tasks_that_are_not_trained_on(trainer, rows):
    found = perfect(trainer, rows).references
    if rows.split == "validation":
        assert found == {}
        return
    ours = zip(rows.inputs.list(), rows.outputs.list(), strict=True)
    chances = [ceiling(*pair, rows.demonstrations(row)) for row, pair in enumerate(ours)]
    twice = np.mean([min(1, 2 * chance) for chance in chances])
    assert found == {"exact_match": {"ceiling": np.mean(chances)}, "pass_at_2": {"ceiling": twice}}
    assert 0 < np.mean(chances) <= 1


def test_an_interval_of_a_share_is_wilsons_of_all_pairs_and_of_each_tasks(trainer, rows):
    true = rows.outputs.list()
    right = np.arange(len(rows)) % 3 == 0
    attempts = [[grid if good else None, None] for grid, good in zip(true, right, strict=True)]
    found = intervals_of(trainer.score(rows, attempts, [grid.ravel() for grid in true]).predictions)

    def expected(good):
        return pytest.approx(proportion_ci(int(good.sum()), len(good)))

    assert found["exact_match"] == found["pass_at_2"] == expected(right)
    for task in set(rows.tasks.tolist()):
        assert found[f"exact_match_{task}"] == expected(right[rows.tasks == task])


def proportion_ci(count, n, z=1.959963984540054):
    """Wilson's interval as Wilson wrote it (1927): the shares that lie within z standard errors of their own."""
    share = count / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


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
    assert len(set(shown["task"][:4])) == min(4, len(set(rows.tasks.tolist())))
    assert shown["expected"] == shown["generated"]


def test_answers_do_not_depend_on_the_batch_they_are_generated_in(trainer, monkeypatch):
    rows = trainer.rows["validation"]
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


def test_an_untrained_models_answers_are_evaluated(trainer, monkeypatch):
    rows = trainer.rows["validation"]
    monkeypatch.setattr(rows, "longest_answer", 12)
    found = trainer.evaluate_split(rows)
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
