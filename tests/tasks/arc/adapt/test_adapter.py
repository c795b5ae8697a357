"""The evaluation as a whole: resumed, in several processes, controls beside it, the run's weights as they were."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tasks.arc.adapt import adapter as adapter_module
from tasks.arc.adapt.adapter import TestTimeTraining
from tasks.arc.adapt.report import METHODS, report
from tests.helpers import same
from tests.tasks.arc.model_helpers import build
from trainers.runs.evaluation import intervals_of


@pytest.fixture
def trainer(make):
    """What of a trainer is looked at."""
    args = SimpleNamespace(device=torch.device("cpu"), bf16=False)
    return SimpleNamespace(
        rows={"unseen_tasks": make("unseen_tasks")}, args=args, unwrapped_model=build("cross_attention")
    )


@pytest.fixture
def chosen(options):
    return dataclasses.replace(options, adapt_contexts="2,5", adapt_tasks="a9f96cdd,c1d99e64", adapt_queries=2)


def parts_of(folder):
    """What was answered, without the times."""
    found = {path.name: json.loads(path.read_text()) for path in sorted(folder.iterdir())}
    return {name: {key: value for key, value in part.items() if key != "training_s"} for name, part in found.items()}


def adapt(options, trainer, folder):
    folder.mkdir(exist_ok=True)
    return TestTimeTraining(options).adapt(trainer, "unseen_tasks", folder)


@pytest.fixture
def whole(trainer, chosen, tmp_path):
    before = copy.deepcopy(trainer.unwrapped_model.state_dict())
    found = adapt(chosen, trainer, tmp_path / "whole")
    assert same(before, trainer.unwrapped_model.state_dict())
    return found


def test_every_arm_answers_every_query_of_every_task(whole, chosen, tmp_path):
    parts = parts_of(tmp_path / "whole")
    assert len(parts) == 2 * 4 * 2 and all(len(part["queries"]) == 2 for part in parts.values())
    lines = whole.tables["test_time_training"]
    assert [(line["demonstrations"], line["method"]) for line in lines] == [
        (k, name) for k in (2, 5) for name in METHODS
    ]
    assert {line["pairs"] for line in lines} == {4}
    text = "\n".join(whole.lines)
    assert text.count("test-time training") >= 1 + 2 * 4 and all(name in text for name in METHODS.values())
    assert {"ceiling_k2_exact_match", "shuffled_k5_pass_at_2", "adapted_k2_pass_at_2_a9f96cdd"} <= set(whole.metrics)
    assert {name for name in whole.predictions} == {f"{name}_k{k}" for k in (2, 5) for name in METHODS}
    for draw in whole.figures.values():
        assert draw().axes


def test_an_interrupted_evaluation_goes_on_as_if_nothing_had_happened(whole, trainer, chosen, tmp_path, monkeypatch):
    written = []

    def write(path, part):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        original(path, part)

    original = adapter_module.write_json
    monkeypatch.setattr(adapter_module, "write_json", write)
    with pytest.raises(KeyboardInterrupt):
        adapt(chosen, trainer, tmp_path / "resumed")
    assert len(parts_of(tmp_path / "resumed")) == 5
    monkeypatch.setattr(adapter_module, "write_json", original)
    again = adapt(chosen, trainer, tmp_path / "resumed")
    assert parts_of(tmp_path / "resumed") == parts_of(tmp_path / "whole")
    assert again.tables == whole.tables and again.metrics == whole.metrics


def test_what_is_finished_is_not_trained_again(whole, trainer, chosen, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tasks.arc.adapt.arms.learn", lambda *args: pytest.fail("trained again"))
    assert adapt(chosen, trainer, tmp_path / "whole").tables == whole.tables
    assert "16 of 16 parts are finished already" in capsys.readouterr().out
    one = adapt(dataclasses.replace(chosen, adapt_contexts="5"), trainer, tmp_path / "whole")
    assert one.tables["test_time_training"] == whole.tables["test_time_training"][len(METHODS) :]


def test_without_controls_two_arms_are_left(trainer, chosen, tmp_path):
    found = adapt(dataclasses.replace(chosen, adapt_controls=False, adapt_contexts="2"), trainer, tmp_path / "two")
    methods = [line["method"] for line in found.tables["test_time_training"]]
    assert methods == ["adapted", "adapted_one_view", "frozen", "frozen_one_view", "patch"]


@pytest.mark.slow
def test_two_processes_answer_like_one(whole, trainer, chosen, tmp_path):
    found = adapt(dataclasses.replace(chosen, adapt_processes=2), trainer, tmp_path / "two")
    assert parts_of(tmp_path / "two") == parts_of(tmp_path / "whole") and found.metrics == whole.metrics


# --- planted answers


def test_planted_answers_are_counted_by_attempt_and_task(make, options):
    from tasks.arc.adapt.given import given_of, rows_of_tasks

    rows = make("unseen_tasks")
    chosen = rows_of_tasks(rows, "a9f96cdd,c1d99e64", 4)
    wrong = [[0]]

    def part(task, arm):
        true = [rows.outputs.numpy(row).tolist() for row in chosen[task]]
        # The first task: right at once, right at the second attempt, wrong twice, no grid. The other: all wrong.
        tried = [[true[0]], [wrong, true[1]], [wrong, [[1]]], []] if task == "a9f96cdd" else [[wrong]] * 4
        tried = tried if arm == "adapted" else [[]] * 4
        queries = [{"first_view": wrong, "attempts": grids, "votes": [4] * len(grids)} for grids in tried]
        return given_of(rows, task, chosen[task], 2), arm, {"queries": queries, "training_s": 1.0}

    found = report(rows, chosen, [part(task, arm) for arm in ("frozen", "adapted") for task in chosen], options)
    line = found.tables["test_time_training"][0]
    assert (line["method"], line["pairs"], line["exact_match"], line["pass_at_2"]) == ("adapted", 8, 1 / 8, 2 / 8)
    assert (line["pass_at_2_a9f96cdd"], line["pass_at_2_c1d99e64"]) == (2 / 4, 0)
    n, p, z = 8, 2 / 8, 1.959964  # Wilson (1927)
    middle, half = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    ends = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert [line["pass_at_2_from"], line["pass_at_2_to"]] == pytest.approx(ends, abs=1e-6)
    assert intervals_of(found.predictions)  # every share of every table
    assert found.predictions["adapted_k2"].scores["pass_at_2"].tolist() == [True, True] + [False] * 6
