"""Steps of a history as the model reads them: seven numbers each, from one vocabulary."""

import numpy as np

from tasks.in_context_rl.rooms import N_ACTIONS

FIELDS = ("row", "column", "arrived_row", "arrived_column", "action", "reward", "begins")
"""Where the agent stands; where its last action led, which one it was, what it brought; whether an episode begins here.

Where the action led is told apart from where the agent stands, because at the end of an episode they differ.
"""


def field_sizes(size: int) -> list[int]:
    """How many values each field has in a room of this size; the last of the middle four means "nothing yet"."""
    return [size, size, size + 1, size + 1, N_ACTIONS + 1, 3, 2]


def encode(
    size: int, cell: np.ndarray, arrived: np.ndarray, action: np.ndarray, reward: np.ndarray, begins: np.ndarray
) -> np.ndarray:
    """Arrays of one shape -> ids, int64, that shape with `len(FIELDS)` at the end.

    Arguments:
        size: rows of the room. cell: where the agent stands. begins: whether an episode begins.
        arrived, action, reward: of the step before; -1 where there was none.
    """
    row, column = np.divmod(cell, size)
    nothing = arrived < 0
    arrived_row, arrived_column = np.divmod(arrived, size)
    before = [(arrived_row, size), (arrived_column, size), (action, N_ACTIONS), (reward, 2)]
    fields = [row, column, *(np.where(nothing, none, value) for value, none in before), begins]
    first = np.cumsum([0, *field_sizes(size)[:-1]])
    return np.stack(fields, axis=-1).astype(np.int64) + first
