"""Lay out a batch of a text task for the pass of `trainers/models/causal_lm.py`, on the host, without its device."""

from typing import TypedDict

import torch
import torch.nn.functional as F

_GROUP_COST = 32  # tokens that take about as long as the overhead of one more group

Beginning = tuple[int, list[tuple[int, int]]]
"""Number of first tokens that rows share, none of which predicts a token of an answer, and the groups of these rows.

A group has a number of rows and a width; it is as wide as its longest row."""


class BatchPlan(TypedDict):
    """Which tokens of a batch are read, in which order, and where answers are predicted."""

    beginnings: list[Beginning]
    """One for all rows or, in a mixture, one for each task that is in the batch."""
    order_B: torch.Tensor
    """Rows by beginning and length, (B,) int64: group by group."""
    place_A: torch.Tensor
    """Where tokens of answers are predicted among those that are read, (A,) int64: of every beginning the shared ones,
    then those of its rows."""
    label_A: torch.Tensor
    """Where their labels lie among all of the batch, row by row, (A,) int64; 0, where none is, fills up."""


def width_of(beginnings: list[Beginning]) -> int:
    """Return the tokens of the longest row."""
    return max(width for _, groups in beginnings for _, width in groups)


def rows_of(beginnings: list[Beginning]) -> int:
    """Return the number of rows."""
    return sum(rows for _, groups in beginnings for rows, _ in groups)


def plan_batch(
    prompt_len_B: torch.Tensor,
    length_B: torch.Tensor,
    shared_K: list[int],
    kind_B: torch.Tensor | None,
    fixed: tuple[int, int] | None,
) -> BatchPlan:
    """Return the layout of rows with these numbers of tokens, of the prompt and of all.

    Args:
        shared_K: First tokens that the rows of each kind share. kind_B: Kind of every row; None: they are of one.
        fixed: Width of every batch and most tokens of an answer, where all batches must have one shape: of one kind.
    """
    if fixed:
        order_B, beginnings = torch.arange(len(length_B)), [(shared_K[0], [(len(length_B), fixed[0])])]
    else:
        by_B = length_B if kind_B is None else kind_B * (int(length_B.max()) + 1) + length_B
        order_B = by_B.argsort()
        counts_K = [len(length_B)] if kind_B is None else kind_B.bincount(minlength=len(shared_K)).tolist()
        lengths = length_B[order_B].split(counts_K)
        parts = zip(shared_K, lengths, strict=True)
        beginnings = [(n_shared, _groups(of.tolist())) for n_shared, of in parts if len(of)]
    places = _places(prompt_len_B[order_B], length_B[order_B], order_B, beginnings)
    if fixed:  # by different places: the gradients of equal ones would be summed
        missing = len(length_B) * fixed[1] - len(places[0])
        places = (torch.cat([places[0], torch.arange(missing)]), F.pad(places[1], (0, missing)))
    return {"beginnings": beginnings, "order_B": order_B, "place_A": places[0], "label_A": places[1]}


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
    prompt_len_B: torch.Tensor, length_B: torch.Tensor, order_B: torch.Tensor, beginnings: list[Beginning]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `place_A` and `label_A` of rows in their order."""
    answer_B = length_B - prompt_len_B
    row_A = torch.arange(len(answer_B)).repeat_interleave(answer_B)
    position_A = torch.arange(len(row_A)) - (answer_B.cumsum(0) - length_B)[row_A]  # of the answer's tokens in the row
    first_B = torch.tensor(_firsts(beginnings))
    return first_B[row_A] + position_A - 1, order_B[row_A] * width_of(beginnings) + position_A


def _firsts(beginnings: list[Beginning]) -> list[int]:
    """Return for every row where its first token would lie among those that are read, if it were not shared."""
    firsts, read = [], 0
    for n_shared, groups in beginnings:
        read += n_shared
        for rows, width in groups:
            own = width - 1 - n_shared  # nothing follows from a last token
            firsts += range(read - n_shared, read - n_shared + rows * own, own)
            read += rows * own
    return firsts
