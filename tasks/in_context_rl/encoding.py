"""Encoding of steps for the model: seven ids each, from one vocabulary."""

import numpy as np

from tasks.in_context_rl.rooms import N_ACTIONS

FIELDS = ("row", "column", "arrived_row", "arrived_column", "action", "reward", "begins")
"""Cell of the agent; cell, action and reward of the step before; whether an episode begins here.

The agent's cell differs from the cell that the last action led to where an episode begins.
"""


def field_sizes(size: int) -> list[int]:
    """Return the number of values of each field; the last value of the middle four means that there was no step."""
    return [size, size, size + 1, size + 1, N_ACTIONS + 1, 3, 2]


def encode(
    size: int, cell: np.ndarray, arrived: np.ndarray, action: np.ndarray, reward: np.ndarray, begins: np.ndarray
) -> np.ndarray:
    """Encode arrays of one shape as ids, int64, that shape with `len(FIELDS)` at the end.

    Args:
        size: rows of the room. cell: where the agent is. begins: whether an episode begins.
        arrived, action, reward: of the step before; -1 where there was none.
    """
    before = zip((*np.divmod(arrived, size), action, reward), (size, size, N_ACTIONS, 2), strict=True)
    fields = [*np.divmod(cell, size), *(np.where(arrived < 0, none, value) for value, none in before), begins]
    first = np.cumsum([0, *field_sizes(size)[:-1]])
    return np.stack(fields, axis=-1).astype(np.int64) + first
