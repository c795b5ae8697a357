"""The trainer of the dark rooms: the best and the worst, figures, and a run that learns."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from tasks.in_context_rl import rollout
from tasks.in_context_rl.metric import LAST
from tasks.in_context_rl.rooms import N_ACTIONS
from tasks.in_context_rl.yardsticks import YARDSTICKS
from tests.helpers import refusal
from trainers import registry
from trainers.base import build_rows
from trainers.folders import dataset_folder

from .model_helpers import TINY, logits_of, optimal_player

ROOM = {"size": 5, "horizon": 10, "n_streams": 3, "history_steps": 200, "n_val_tasks": 2, "keep_every": 1}

EVALUATION = {"eval_streams": 2, "eval_episodes": 3, "eval_rollouts": 2}


# --- the trainer


def stored(folder, **options):
    task = registry.load("darkroom")
    return dataset_folder.build_or_load(task, task.options(**{**ROOM, **EVALUATION, **options}), folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Its test tasks are 1, 13 and 12: not in order, and of different returns."""
    return stored(tmp_path_factory.mktemp("darkroom"))


def make_trainer(data, folder, options, **arguments):
    task = registry.load("darkroom")
    torch.manual_seed(0)
    plain = {"remove_unused_columns": False, "use_cpu": True, "report_to": "none", "dataloader_pin_memory": False}
    given = TrainingArguments(str(folder), **plain, disable_tqdm=True, **arguments)
    small = {key: value for key, value in TINY.items() if key != "size"}
    model = task.load("build_model")(task.model_options(**{**small, **options}), data)
    return task.load("trainer")(task, data, build_rows(task, data, model), model, given)


WINDOWED = {"architecture": "compressed_ad", "window": 6, "keep": 2, "depth_weights": "0:5,1:2,3:3"}


@pytest.fixture(scope="module")
def trainer(data, tmp_path_factory):
    found = make_trainer(data, tmp_path_factory.mktemp("untrained"), WINDOWED, per_device_eval_batch_size=64)
    found.unwrapped_model.eval()
    return found


@pytest.fixture(scope="module", params=["validation", "test"])
def rows(request, trainer):
    return trainer.rows[request.param]


def scored(trainer, rows, right, returned):
    """All actions right or none, and the same return in every episode of a task."""
    n_tasks = len(rows.tasks()[0])
    return_KRE = np.broadcast_to(np.asarray(returned, dtype=float)[..., None, None], (n_tasks, 2, 3))
    return trainer.score(rows, np.full((len(rows), rows.n_steps), right), return_KRE)


def perfect(trainer, rows):
    return scored(trainer, rows, True, rows.tasks()[1]["optimal_return"])


def nonsense(trainer, rows):
    return scored(trainer, rows, False, np.zeros(len(rows.tasks()[0])))


def test_an_untrained_model_is_evaluated(trainer, rows):
    found = trainer.evaluate_split(rows)
    assert np.isfinite(list(found.flat().values())).all()
    assert found.values.mean() == pytest.approx(found.metrics["accuracy"]) and len(found.values) == len(rows)
    assert found.metrics == trainer.evaluate_split(rows).metrics  # it acts by the same seed every time


def test_perfect_predictions_and_returns_are_best_and_nonsense_worst(trainer, rows):
    best, worst = perfect(trainer, rows).metrics, nonsense(trainer, rows).metrics
    for name in ("normalised_return", "optimality", "area_under_curve", "success_rate"):
        assert best[name] == pytest.approx(1)
    accuracies = [name for name in best if name.startswith("accuracy")]
    assert {"accuracy", "accuracy_depth_0", "accuracy_deeper"} <= set(accuracies)
    assert all(best[name] == 1 and worst[name] == 0 for name in accuracies)
    assert worst["success_rate"] == worst["optimality"] == worst["return_last"] == 0 > worst["normalised_return"]
    random = scored(trainer, rows, False, rows.tasks()[1]["random_return"]).metrics
    assert random["normalised_return"] == pytest.approx(0)


def test_who_acts_optimally_is_evaluated_as_optimal(trainer, rows, monkeypatch):
    every, facts = rows.tasks()
    monkeypatch.setattr(rollout, "Actor", optimal_player(rows.room, every.repeated(EVALUATION["eval_rollouts"])))
    monkeypatch.setattr(trainer.unwrapped_model.config, "act_temperature", 0)
    found = trainer.evaluate_split(rows)
    assert found.metrics["normalised_return"] == pytest.approx(1) == found.metrics["area_under_curve"]
    assert found.metrics["regret"] == pytest.approx(0)
    assert found.samples["first"] == found.samples["optimal"] == facts["optimal_return"].tolist()


def test_what_stands_beside_does_not_depend_on_the_model(trainer, rows, monkeypatch):
    best, worst = perfect(trainer, rows), nonsense(trainer, rows)
    for name in ("baselines", "references", "entropy_bound"):
        assert getattr(best, name) == getattr(worst, name) is not None
    assert best.baselines["normalised_return"] == {"": 0, "random": 0}
    random = scored(trainer, rows, False, rows.tasks()[1]["random_return"]).metrics
    for name in ("return_first", "return_last", "optimality", "area_under_curve", "regret"):
        assert best.baselines[name]["random"] == pytest.approx(random[name], abs=1e-9)
    for name in best.metrics.keys() - {name for name in best.metrics if name.startswith("accuracy")}:
        assert set(YARDSTICKS) <= best.references[name].keys()
    for name in YARDSTICKS:
        returns = rows.yardsticks[name]
        assert returns.shape[::2] == (len(rows.tasks()[0]), EVALUATION["eval_episodes"])
        assert best.references["return_first"][name] == pytest.approx(returns[:, :, 0].mean())

    rng, shape = np.random.default_rng(0), rows.columns["reward"].shape  # a source that does not settle
    monkeypatch.setitem(rows.columns, "reward", rng.integers(0, 2, shape, dtype=np.uint8))
    best = perfect(trainer, rows)
    table = [{**row, "reward": reward} for row, reward in zip(rows.table, rows.columns["reward"].tolist(), strict=True)]
    counted = Counter(action for row in table for action in row["action"])
    assert best.baselines["accuracy"][""] == pytest.approx(max(counted.values()) / sum(counted.values()))
    ends = [row["reward"][-2 * ROOM["horizon"] :] for row in table]  # a tenth of the episodes
    means = [sum(end) / 2 for end in ends]
    assert best.references["return_last"]["source"] == pytest.approx(np.mean(means))
    shares = [
        (mean - row["random_return"]) / (row["optimal_return"] - row["random_return"])
        for mean, row in zip(means, table, strict=True)
    ]
    assert best.references["normalised_return"]["source"] == pytest.approx(np.mean(shares))


def test_the_entropy_bound_is_that_of_the_recorded_policy_and_below_what_knows_less(trainer, rows, data):
    found = nonsense(trainer, rows).entropy_bound
    recorded = [-math.log(chance) for row in rows.table for chance in row["probability"]]
    assert found == pytest.approx(np.mean(recorded), abs=1e-6)
    counts_CA = np.ones((ROOM["size"] ** 2, N_ACTIONS))  # what can be known without the history
    for row in data.splits["train"]:
        np.add.at(counts_CA, (row["cell"], row["action"]), 1)
    chance_CA = counts_CA / counts_CA.sum(axis=1, keepdims=True)
    by_cell = [
        -math.log(chance_CA[c, a]) for row in rows.table for c, a in zip(row["cell"], row["action"], strict=True)
    ]
    assert found < np.mean(by_cell) and found < math.log(N_ACTIONS)


def test_every_figure_is_drawn_and_the_table_has_one_row_per_task(trainer, rows):
    for evaluation in (perfect(trainer, rows), nonsense(trainer, rows)):
        assert set(evaluation.figures) == {"curves.png", "per_task.png"}
        for draw in evaluation.figures.values():
            draw().draw_without_rendering()
        labels = list(dict.fromkeys(rows.table["label"]))
        assert evaluation.samples["task"] == labels
        assert {len(column) for column in evaluation.samples.values()} == {len(labels)}
    assert perfect(trainer, rows).samples[f"last {LAST}"] == perfect(trainer, rows).samples["optimal"]


def test_predictions_do_not_depend_on_the_batch_they_are_made_in(trainer, monkeypatch):
    rows = trainer.rows["validation"]
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", len(rows))
    expected = trainer._predicted(rows)
    monkeypatch.setattr(trainer.args, "per_device_eval_batch_size", 1)
    assert len(rows) > 1 and (trainer._predicted(rows) == expected).all()
    batch = rows.__getitems__(list(range(len(rows))))
    right = logits_of(trainer.unwrapped_model, batch["steps"]).argmax(-1) == batch["labels"]
    assert expected.shape == (len(rows), rows.n_steps) and (torch.from_numpy(expected) == right).all()


def test_a_described_row_shows_the_first_episode(trainer, data):
    shown, row = trainer.describe_row("validation", 0), data.splits["validation"][0]
    assert row["label"] in shown
    for name in ("cell", "reward", "next_cell", "action"):
        assert str(row[name][: ROOM["horizon"]]) in shown


def test_depths_that_no_history_reaches_are_refused(data, tmp_path):
    with refusal(206, 200):
        make_trainer(data, tmp_path, {**WINDOWED, "depth_weights": "0:1,50:1"})
    deepest = make_trainer(data, tmp_path, {**WINDOWED, "depth_weights": "0:1,48:1"}).train_dataset
    assert deepest.stretch(np.zeros(1, int), deepest.draw_start(np.zeros(1, int), 198), 198)["labels"].shape == (1, 198)


# --- a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer that has trained (in 3 x 3 cells), the losses before and after, what it had learnt from at each log."""
    arguments = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 64, "logging_steps": 5}
    trainer = make_trainer(
        stored(tmp_path_factory.mktemp("small"), size=3),
        tmp_path_factory.mktemp("trained"),
        {**WINDOWED, "hidden_size": 16, "intermediate_size": 24, "num_encoder_layers": 1, "init_scale": 0.05},
        **arguments,
        max_steps=60,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        save_strategy="no",
    )
    before = trainer.evaluate()
    learnt, logged, config = Counter(), [], trainer.unwrapped_model.config

    def counting(model, args, batch):
        if model.training:
            n_rows, length = batch["labels"].shape
            learnt[config.schedule.depth(length - 1)] += n_rows

    class Listening(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append((dict(logs), dict(learnt)))

    hook = trainer.unwrapped_model.register_forward_pre_hook(counting, with_kwargs=True)
    trainer.add_callback(Listening())
    trainer.train()
    hook.remove()
    trainer.unwrapped_model.eval()
    return trainer, before, logged, trainer.evaluate()


def test_the_logged_targets_add_up_to_the_steps_trained_on(trained):
    _, _, logged, _ = trained
    logs = [(log, learnt) for log, learnt in logged if "loss" in log]
    assert len(logs) == 12
    steps = {0: {0: 6}, 1: {0: 6, 1: 4}, 3: {0: 6, 1: 4, 3: 8}}  # of a row by its depth; depth 2 counts as 3
    for number, (log, learnt) in enumerate(logs, start=1):
        targets = {depth: log[f"targets_of_depth_{depth}"] for depth in (0, 1, 3)}
        assert targets == {
            depth: sum(rows * steps[deepest].get(depth, 0) for deepest, rows in learnt.items()) for depth in (0, 1, 3)
        }
        assert sum(log[f"loss_share_of_depth_{depth}"] for depth in (0, 1, 3)) == pytest.approx(1)
        epochs, batches = divmod(5 * number, 3)  # of 18 rows: 8, 8 and 2
        assert sum(learnt.values()) == 18 * epochs + 8 * batches
    shares = [logs[-1][0][f"loss_share_of_depth_{depth}"] for depth in (0, 1, 3)]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.12)  # 60 batches


def test_a_run_learns_something_but_not_more_than_there_is_to_know(trained):
    trainer, before, _, after = trained
    uniform = math.log(N_ACTIONS)
    assert before["eval_validation_loss"] == pytest.approx(uniform, abs=0.15)
    assert after["eval_validation_loss"] < uniform - 0.1
    for split in ("validation", "test"):
        rows = trainer.rows[split]
        batch = rows.__getitems__(list(range(len(rows))))
        log_chances = logits_of(trainer.unwrapped_model, batch["steps"]).double().log_softmax(-1)
        nats = -log_chances.gather(-1, batch["labels"][..., None])[..., 0].numpy()
        floor = -np.log(rows.columns["probability"].astype(float))
        # Given the past, the difference of each step has a mean that is no less than 0: differences from it are
        # uncorrelated, so their error is that of independent ones.
        more = nats - floor
        assert more.mean() > -3 * more.std() / math.sqrt(more.size)
        if split == "validation":
            assert nats.mean() == pytest.approx(after["eval_validation_loss"], abs=1e-5)
            assert floor.mean() == pytest.approx(after["eval_validation_entropy_bound"], abs=1e-9)


def test_an_evaluation_reports_the_task_that_chooses_the_checkpoint(trained):
    trainer, before, _, after = trained
    for metrics in (before, after):
        name = f"eval_validation_{trainer.task.primary_metric}"
        assert name in metrics and np.isfinite([value for value in metrics.values()]).all()
    assert (trainer.last.split, trainer.last.stage) == ("validation", "eval")
