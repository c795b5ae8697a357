"""Grids as tensors, whole batches at a time: 2-D cells <-> token ids, turned, recoloured, read back.

A grid is written row by row with ROW between rows: `1 2 ROW 3 4`. What is generated begins with BOS and ends with EOS,
so its shape is generated too. Tensors of cells are named `cells_BSS`: (batch, side, side) uint8, PAD outside the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

N_COLOURS = 10
PAD, ROW, BOS, EOS = range(N_COLOURS, N_COLOURS + 4)
VOCABULARY_SIZE = N_COLOURS + 4
NAMES = [*map(str, range(N_COLOURS)), "<pad>", "<row>", "<bos>", "<eos>"]
N_DIHEDRAL = 8


@dataclass(frozen=True)
class Grids:
    """B grids of different sizes.

    Attributes:
        cells_BSS: uint8 colours, PAD outside. height_B, width_B: int64, at least 1.
    """

    cells_BSS: torch.Tensor
    height_B: torch.Tensor
    width_B: torch.Tensor

    def __len__(self) -> int:
        return len(self.cells_BSS)

    def __getitem__(self, index: torch.Tensor) -> "Grids":
        return Grids(self.cells_BSS[index], self.height_B[index], self.width_B[index])

    @property
    def length_B(self) -> torch.Tensor:
        """Tokens of each grid: its cells and the ROWs between its rows."""
        return self.height_B * (self.width_B + 1) - 1

    def numpy(self, index: int) -> np.ndarray:
        """One grid as (height, width) uint8."""
        return self.cells_BSS[index, : int(self.height_B[index]), : int(self.width_B[index])].numpy()

    def list(self) -> "list[np.ndarray]":
        """All grids as arrays."""
        return [self.numpy(index) for index in range(len(self))]


def tokens(grids: Grids) -> torch.Tensor:
    """(B, L) uint8, the grids written row by row; PAD on the right."""
    step_B1 = grids.width_B[:, None] + 1
    place_L = torch.arange(int(grids.length_B.max()))
    row_BL, column_BL = place_L // step_B1, place_L % step_B1
    side = grids.cells_BSS.shape[1]
    batch_B1 = torch.arange(len(grids))[:, None]
    ids_BL = grids.cells_BSS[batch_B1, row_BL.clamp(max=side - 1), column_BL.clamp(max=side - 1)]
    ids_BL = ids_BL.masked_fill(column_BL == grids.width_B[:, None], ROW)
    return ids_BL.masked_fill(place_L >= grids.length_B[:, None], PAD)


def concatenate(pieces: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded sequences one behind the other without pads in between.

    Arguments:
        pieces: ids (B, L) and lengths (B,), in order.

    Returns:
        ids (B, sum) uint8, PAD on the right, and their lengths (B,).
    """
    length_B = torch.stack([length for _, length in pieces]).sum(dim=0)
    batch = len(length_B)
    # One column more than needed takes all the pads.
    out = torch.full((batch, int(length_B.max()) + 1), PAD, dtype=torch.uint8)
    start_B = torch.zeros(batch, dtype=torch.int64)
    for ids, piece_len_B in pieces:
        place_L = torch.arange(ids.shape[1])
        target_BL = torch.where(place_L < piece_len_B[:, None], start_B[:, None] + place_L, out.shape[1] - 1)
        out.scatter_(1, target_BL, ids)
        start_B = start_B + piece_len_B
    return out[:, :-1], length_B


def column_of(token: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same token for every row, as a piece for `joined`."""
    return torch.full((batch, 1), token, dtype=torch.uint8), torch.ones(batch, dtype=torch.int64)


def apply_dihedral(grids: Grids, which_B: torch.Tensor) -> Grids:
    """Every grid by one of the square's 8 symmetries: bit 0 flips rows, bit 1 flips columns, then bit 2 transposes."""
    side = grids.cells_BSS.shape[1]
    height_B, width_B = grids.height_B, grids.width_B
    transposed_B = which_B >= 4
    new_height_B, new_width_B = (
        torch.where(transposed_B, width_B, height_B),
        torch.where(transposed_B, height_B, width_B),
    )
    r, c = torch.arange(side)[None, :, None], torch.arange(side)[None, None, :]
    t = transposed_B[:, None, None]
    row, column = torch.where(t, c, r), torch.where(t, r, c)  # where the cell stood before the transposition
    height, width = height_B[:, None, None], width_B[:, None, None]
    row = torch.where((which_B & 1).bool()[:, None, None], height - 1 - row, row)
    column = torch.where((which_B & 2).bool()[:, None, None], width - 1 - column, column)
    cells = grids.cells_BSS[torch.arange(len(grids))[:, None, None], row.clamp(0, side - 1), column.clamp(0, side - 1)]
    outside = (r >= new_height_B[:, None, None]) | (c >= new_width_B[:, None, None])
    return Grids(cells.masked_fill(outside, PAD), new_height_B, new_width_B)


def recolour(grids: Grids, colours_BV: torch.Tensor) -> Grids:
    """Every grid with its colours exchanged.

    Arguments:
        colours_BV: (B, VOCABULARY_SIZE) uint8, the new id of every id (PAD stays PAD).
    """
    flat = colours_BV.gather(1, grids.cells_BSS.flatten(1).long())
    return Grids(flat.view_as(grids.cells_BSS), grids.height_B, grids.width_B)


def colours_in_order(keys_BC: np.ndarray) -> torch.Tensor:
    """Tables for `recoloured`: the nine colours permuted, black and the special tokens as they are.

    Arguments:
        keys_BC: (B, 9) numbers, by whose order the colours are permuted.
    """
    table = np.tile(np.arange(VOCABULARY_SIZE, dtype=np.uint8), (len(keys_BC), 1))
    table[:, 1:N_COLOURS] = 1 + np.argsort(keys_BC, axis=1)
    return torch.from_numpy(table)


def read_grid(ids: np.ndarray) -> np.ndarray | None:
    """The grid in generated tokens, up to EOS: (height, width) uint8; None without EOS, or if rows differ in length."""
    ends = np.nonzero(ids == EOS)[0]
    if len(ends) == 0 or (ids[: ends[0]] == PAD).any() or (ids[: ends[0]] == BOS).any():
        return None
    rows: list[list[int]] = [[]]
    for token in ids[: ends[0]].tolist():
        if token == ROW:
            rows.append([])
        else:
            rows[-1].append(token)
    width = len(rows[0])
    return np.array(rows, dtype=np.uint8) if width and all(len(row) == width for row in rows) else None
