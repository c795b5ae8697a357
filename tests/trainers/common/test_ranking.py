"""Ranking of evaluations: the metric, then the loss of the same split, then the later step."""

import pytest

from trainers.common.ranking import best_steps


def entry(step, x, loss):
    return {"step": step, "eval_seen_x": x, "eval_seen_loss": loss, "eval_other_loss": -step}


@pytest.mark.parametrize(
    ("entries", "greater", "best"),
    [
        ([entry(1, 5.0, 1.0), entry(2, 3.0, 9.0)], False, [2, 1]),
        ([entry(1, 5.0, 9.0), entry(2, 3.0, 1.0)], True, [1, 2]),
        ([entry(1, 5.0, 2.0), entry(2, 5.0, 1.0), entry(3, 5.0, 3.0)], False, [2, 1, 3]),
        ([entry(1, 5.0, 1.0), entry(2, 5.0, 1.0)], True, [2, 1]),
        ([{"step": 1, "loss": 0.0}, entry(2, 5.0, 1.0)], False, [2]),
    ],
)
def test_equal_metrics_are_told_apart_by_loss_and_then_by_step(entries, greater, best):
    assert best_steps(entries, "seen_x", greater, 3) == best_steps(entries, "eval_seen_x", greater, 3) == best
