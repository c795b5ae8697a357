"""Lay out a batch of a text task for the pass of `trainers/models/causal_lm.py`, on the host, without its device."""

from typing import TypedDict

import torch
import torch.nn.functional as F

_GROUP_COST = 32  # tokens that take about as long as the overhead of one more group


class BatchPlan(TypedDict):
    """Which tokens of a batch are read, in which order, and where answers are predicted."""

    n_shared: int
    """Number of first tokens that are the same in every row; none of them predicts a token of an answer."""
    order_B: torch.Tensor
    """Rows by length, (B,) int64."""
    groups: list[tuple[int, int]]
    """Number of rows and width of each group in this order: a group is as wide as its longest row."""
    place_A: torch.Tensor
    """Where tokens of answers are predicted among those that are read, (A,) int64: the shared ones, then each row's."""
    label_A: torch.Tensor
    """Where their labels lie among all of the batch, row by row, (A,) int64; 0, where none is, fills up."""


def plan_batch(
    prompt_len_B: torch.Tensor, length_B: torch.Tensor, n_shared: int, fixed: tuple[int, int] | None
) -> BatchPlan:
    """Return the layout of rows with these numbers of tokens, of the prompt and of all.

    Args:
        fixed: Width of every batch and most tokens of an answer, where all batches must have one shape.
    """
    order_B, groups = torch.arange(len(length_B)), [(len(length_B), fixed[0])] if fixed else []
    if not fixed:
        order_B = length_B.argsort()
        groups = _groups(length_B[order_B].tolist())
    places = _places(prompt_len_B[order_B], length_B[order_B], order_B, groups, n_shared)
    if fixed:  # by different places: the gradients of equal ones would be summed
        missing = len(length_B) * fixed[1] - len(places[0])
        places = (torch.cat([places[0], torch.arange(missing)]), F.pad(places[1], (0, missing)))
    return {"n_shared": n_shared, "order_B": order_B, "groups": groups, "place_A": places[0], "label_A": places[1]}


def _groups(lengths: list[int]) -> list[tuple[int, int]]:
    """Return (rows, width of the longest) of equal groups of rows sorted by length: the number that saves most work."""
    candidates = []
    for count in (1, 2, 4, 8, 16, 32):
        rows = max(1, -(-len(lengths) // count))
        parts = [lengths[start : start + rows] for start in range(0, len(lengths), rows)]
        groups = [(len(part), part[-1]) for part in parts]
        candidates.append((sum(n * width for n, width in groups) + _GROUP_COST * len(groups), groups))
    return min(candidates)[1]


def _places(
    prompt_len_B: torch.Tensor,
    length_B: torch.Tensor,
    order_B: torch.Tensor,
    groups: list[tuple[int, int]],
    n_shared: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `place_A` and `label_A` of rows in their order."""
    answer_B = length_B - prompt_len_B
    row_A = torch.arange(len(answer_B)).repeat_interleave(answer_B)
    position_A = torch.arange(len(row_A)) - (answer_B.cumsum(0) - length_B)[row_A]  # of the answer's tokens in the row
    own_B = torch.tensor([width - 1 - n_shared for rows, width in groups for _ in range(rows)])
    before_B = own_B.cumsum(0) - own_B  # own tokens of the rows before it; positions count the shared ones
    return before_B[row_A] + position_A - 1, order_B[row_A] * groups[-1][1] + position_A
