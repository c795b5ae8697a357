"""Leave-one-out episodes: each demonstration of a task is predicted from others, turned, recoloured, moved."""

from collections.abc import Sequence

import numpy as np
import torch

from tasks.arc.adapt.given import Given
from tasks.arc.generators.concept import LARGEST_SIDE, Grid, Pair
from tasks.arc.grids import N_COLOURS, N_DIHEDRAL, Grids, apply_dihedral, colours_in_order, pack, recolour
from tasks.arc.rows import Examples


def draw_episodes(given: Given, count: int, shown: int, borders: int, rng: np.random.Generator) -> Examples:
    """Return episodes: a demonstration to be predicted, and some of the others, in random order, to do it from.

    Every demonstration is the query about equally often. An episode as a whole is turned or mirrored, and its colours
    but black are exchanged.

    Args:
        count: Episodes. shown: Most demonstrations in one.
        borders: Most empty rows, and columns, that are put around a pair, if all of the task keep their shape.
    """
    pairs = given.demonstrations
    own_B = rng.permutation(np.resize(rng.permutation(len(pairs)), count))
    others = [_others(len(pairs), own, shown, rng) for own in own_B.tolist()]
    n_shown_B = torch.tensor([len(places) for places in others])
    borders = borders if given.keeps_shape else 0
    moved = [_bordered(pairs[place], borders, rng) for place in (*own_B, *np.concatenate(others))]
    before, after = ([pair[part] for pair in moved] for part in (0, 1))
    grids = (before[:count], after[:count], before[count:], after[count:])
    which_B = torch.from_numpy(rng.integers(N_DIHEDRAL, size=count))
    colours_BV = colours_in_order(rng.random((count, N_COLOURS - 1)))
    return seen_as(grids, n_shown_B, which_B, colours_BV)


def seen_as(
    grids: Sequence[Sequence[Grid]], n_shown_B: torch.Tensor, which_B: torch.Tensor, colours_BV: torch.Tensor
) -> Examples:
    """Return B examples, each in colours and under a symmetry of its own.

    Args:
        grids: Inputs and outputs of the examples, inputs and outputs of their demonstrations, row by row.
        n_shown_B: Demonstrations of each. which_B, colours_BV: See `apply_dihedral` and `recolour`.
    """
    side = max(max(grid.shape) for part in grids for grid in part)
    ones_B = torch.ones_like(n_shown_B)
    seen: list[Grids] = []
    for part, times_B in zip(grids, (ones_B, ones_B, n_shown_B, n_shown_B), strict=True):
        turned = apply_dihedral(pack(part, side), which_B.repeat_interleave(times_B))
        seen.append(recolour(turned, colours_BV.repeat_interleave(times_B, dim=0)))
    return seen[0], seen[1], seen[2], seen[3], n_shown_B


def _others(count: int, own: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of two to `most` others (one, if there is no more), in random order."""
    others = rng.permutation(np.delete(np.arange(count), own))
    most = min(most, count - 1)
    return others[: rng.integers(min(2, most), most + 1)]


def _bordered(pair: Pair, most: int, rng: np.random.Generator) -> Pair:
    """Return a pair with at most so many black rows and columns more, the same around input and output."""
    widths = []
    for side in pair[0].shape:
        more = int(rng.integers(min(most, LARGEST_SIDE - side) + 1))
        before = int(rng.integers(more + 1))
        widths.append((before, more - before))
    return np.pad(pair[0], widths), np.pad(pair[1], widths)
