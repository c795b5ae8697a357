"""Where each token stands in its grid, read off the tokens themselves.

A sequence holds one or more grids: ROW ends a row, BOS and EOS and PAD end a grid.
"""

import torch

from tasks.arc.grids import BOS, EOS, PAD, ROW

EDGE_LIMIT = 31  # rows and columns of the largest grid, and one for the ROW behind a row's end


def cell_places(ids_BL: torch.Tensor) -> list[torch.Tensor]:
    """Row, column, rows below and columns to the right of every token, four (B, L) int64; 0 for BOS, EOS and PAD.

    Both ends of a grid are looked at: for encoders, which see it whole.
    """
    outside = _outside(ids_BL)
    row, column = _from_start(ids_BL)
    below, right = (place.flip(1) for place in _from_start(ids_BL.flip(1)))
    return [place.masked_fill(outside, 0) for place in (row, column, below, right)]


def next_places(ids_BL: torch.Tensor) -> list[torch.Tensor]:
    """Row and column of the token that will follow each token, two (B, L) int64; looks at nothing behind the token."""
    is_row, starts = ids_BL == ROW, _outside(ids_BL)
    place_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    ended = torch.where(is_row | starts, place_L, -1).cummax(dim=1).values
    return [_rows_since_start(is_row, starts), place_L - ended]


def sinusoids(index_BL: torch.Tensor, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Sinusoidal positions (Vaswani et al. 2017), (B, L, size); size is even."""
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, device=index_BL.device, dtype=torch.float32) / size)
    angle = index_BL[..., None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(dtype)


def _outside(ids_BL: torch.Tensor) -> torch.Tensor:
    return (ids_BL == BOS) | (ids_BL == EOS) | (ids_BL == PAD)


def _from_start(ids_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column, counted from the side where the sequence begins."""
    is_row, starts = ids_BL == ROW, _outside(ids_BL)
    place_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    ended = torch.where(is_row | starts, place_L, -1).cummax(dim=1).values
    ended_before = torch.nn.functional.pad(ended[:, :-1], (1, 0), value=-1)
    return _rows_since_start(is_row, starts) - is_row.long(), place_L - ended_before - 1


def _rows_since_start(is_row: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """How many ROWs there are from the grid's start up to and including each token."""
    count = is_row.cumsum(dim=1)
    return count - torch.where(starts, count, 0).cummax(dim=1).values
