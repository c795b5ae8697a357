"""How soon a model learns in context, beside its source and the yardsticks."""

import numpy as np

from tasks.in_context_rl.metric import LAST
from tasks.in_context_rl.rows import HistoryRows
from tasks.in_context_rl.yardsticks import LABELS

_LEVEL = 0.9  # of a model's last return: where a curve flattens, noise would decide when it gets there


def speed_up(return_E: np.ndarray, rows: HistoryRows) -> float | None:
    """Return how many times as many episodes the source needs to nine tenths of a model's last return; None if never.

    Args:
        return_E: mean returns of a model's episodes in the tasks of these rows.
    """
    level = _LEVEL * return_E[-LAST:].mean()
    model = first_reached(np.arange(1, len(return_E) + 1), return_E, level)
    source = first_reached(rows.source_episode_E, rows.returns().mean(axis=0), level)
    return None if model is None or source is None else source / model


def say_yardsticks(rows: HistoryRows) -> str:
    """Return one line for each agent that knows the rules and not the task: its last returns and its regret."""
    optimal = rows.tasks()[1]["optimal_return"].mean()
    lines = []
    for name, return_KRE in rows.yardsticks.items():
        mean_E = return_KRE.mean(axis=(0, 1))
        lines.append(f"{LABELS[name]}: last {LAST} {mean_E[-LAST:].mean():.2f}, regret {(optimal - mean_E).sum():.0f}")
    return "\n".join(lines)


def first_reached(episode_E: np.ndarray, return_E: np.ndarray, level: float) -> float | None:
    """Return the episode at which a curve first is at this level, linear between its points; None if never."""
    above = np.flatnonzero(return_E >= level)
    if not len(above):
        return None
    before, after = max(0, above[0] - 1), above[0]
    return float(np.interp(level, return_E[[before, after]], episode_E[[before, after]]))
