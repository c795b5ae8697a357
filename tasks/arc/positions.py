"""Row and column of each token in its grid, derived from the tokens themselves.

A sequence holds one or more grids: ROW ends a row, BOS and EOS and PAD end a grid.
"""

import torch
import torch.nn.functional as F

from tasks.arc.grids import BOS, EOS, PAD, ROW

EDGE_LIMIT = 31  # rows and columns of the largest grid, and one for the ROW behind a row's end


def cell_places(ids_BL: torch.Tensor) -> list[torch.Tensor]:
    """Return row, column, rows below and columns to the right of every token, four (B, L) int64.

    They are 0 for BOS, EOS and PAD. Tokens behind are looked at: for encoders.
    """
    from_end = [place.flip(1) for place in _own_places(ids_BL.flip(1))]
    return [place.masked_fill(_is_outside(ids_BL), 0) for place in (*_own_places(ids_BL), *from_end)]


def next_places(ids_BL: torch.Tensor) -> list[torch.Tensor]:
    """Return row and column of the token after each token, two (B, L) int64; no later token is looked at."""
    is_row, is_outside = ids_BL == ROW, _is_outside(ids_BL)
    place_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    last_break = torch.where(is_row | is_outside, place_L, -1).cummax(dim=1).values
    n_rows = is_row.cumsum(dim=1)
    return [n_rows - torch.where(is_outside, n_rows, 0).cummax(dim=1).values, place_L - last_break]


def sinusoids(index_BL: torch.Tensor, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return sinusoidal positions (Vaswani et al. 2017), (B, L, size); size is even."""
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, device=index_BL.device, dtype=torch.float32) / size)
    angle = index_BL[..., None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(dtype)


def _is_outside(ids_BL: torch.Tensor) -> torch.Tensor:
    return (ids_BL == BOS) | (ids_BL == EOS) | (ids_BL == PAD)


def _own_places(ids_BL: torch.Tensor) -> list[torch.Tensor]:
    """Return row and column of every token of a grid: what `next_places` gives for the token before it."""
    return [F.pad(place[:, :-1], (1, 0)) for place in next_places(ids_BL)]
