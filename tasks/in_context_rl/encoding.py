"""Encoding of steps for the model: seven ids each, from one vocabulary."""

from collections.abc import Sequence

import numpy as np

FIELDS = ("row", "column", "arrived_row", "arrived_column", "action", "reward", "begins")
"""Cell of the agent; cell, action and reward of the step before; whether an episode begins here.

The agent's cell differs from the cell that the last action led to where an episode begins.
"""


def field_sizes(size: int, n_actions: int, n_rewards: int) -> list[int]:
    """Return the number of values of each field; the last value of the middle four means that there was no step."""
    return [size, size, size + 1, size + 1, n_actions + 1, n_rewards + 1, 2]


def encode(
    sizes: Sequence[int],
    cell: np.ndarray,
    arrived: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    begins: np.ndarray,
) -> np.ndarray:
    """Encode arrays of one shape as ids, int64, that shape with `len(FIELDS)` at the end.

    Args:
        sizes: of the fields. cell: where the agent is. begins: whether an episode begins.
        arrived, action, reward: of the step before; -1 where there was none.
    """
    size = sizes[0]
    before = zip((*np.divmod(arrived, size), action, reward), sizes[2:6], strict=True)
    fields = [*np.divmod(cell, size), *(np.where(arrived < 0, n - 1, value) for value, n in before), begins]
    first = np.cumsum([0, *sizes[:-1]])
    return np.stack(fields, axis=-1).astype(np.int64) + first
