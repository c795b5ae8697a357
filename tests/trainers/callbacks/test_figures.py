"""Figures of an evaluation take a tenth of the time at most, and those of the last one are always there."""

from types import SimpleNamespace

import pytest

from trainers.callbacks import figures
from trainers.common.metric_names import EVAL, FINAL
from trainers.contract import Evaluation


@pytest.fixture
def drawn(monkeypatch):
    """Return what evaluates a split at a second and a step, where a figure takes a second; and what was drawn."""
    clock, steps = SimpleNamespace(s=0.0), []
    trainer = SimpleNamespace(last=None)
    monkeypatch.setattr(figures.time, "monotonic", lambda: clock.s)
    callback = figures.DrawFigures(trainer, tracker=None)

    def draw(evaluation, state, folder):
        clock.s += 1
        steps.append((evaluation.step, evaluation.split))

    def evaluate(at_s, step, split="validation", stage=EVAL):
        clock.s = max(clock.s, at_s)
        trainer.last = Evaluation(metrics={}, samples={}, values=[], split=split, stage=stage, step=step)
        callback.on_evaluate(SimpleNamespace(output_dir="."), SimpleNamespace(log_history=[]), None)
        return steps

    monkeypatch.setattr(callback, "_draw", draw)
    return evaluate


def test_drawing_takes_a_tenth_of_the_time(drawn):
    for step in range(300):
        steps = drawn(at_s=step, step=step)
    assert 28 <= len(steps) <= 31 and steps[0] == (0, "validation")


def test_all_splits_of_a_step_are_drawn_or_none(drawn):
    for step in range(100):
        for split in ("one", "two", "three"):
            steps = drawn(at_s=step, step=step, split=split)
    of_step = {step: [split for at, split in steps if at == step] for step, _ in steps}
    assert 3 <= len(of_step) <= 5 and all(splits == ["one", "two", "three"] for splits in of_step.values())


def test_final_evaluations_are_drawn_whatever_came_before(drawn):
    drawn(at_s=0, step=1)
    assert drawn(at_s=1, step=2) == [(1, "validation")]
    assert drawn(at_s=1, step=2, split="test", stage=FINAL)[-1] == (2, "test")
    assert drawn(at_s=1, step=2, stage=FINAL)[-1] == (2, "validation")
