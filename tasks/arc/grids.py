"""Batches of grids as tensors: written as token ids, turned, recoloured, read back.

A grid is written row by row with ROW between rows: `1 2 ROW 3 4`. An output begins with BOS and ends with EOS, so its
shape is generated too. Tensors of cells are named `cells_BSS`: (batch, side, side) uint8, PAD outside the grid.
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
COLOURS_RGB = (
    "000000", "0074D9", "FF4136", "2ECC40", "FFDC00", "AAAAAA", "F012BE", "FF851B", "7FDBFF", "870C25",
)  # fmt: skip
"""The colours of the ARC website."""


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
        """Tokens of each grid: its cells and the ROWs between them."""
        return self.height_B * (self.width_B + 1) - 1

    def numpy(self, index: int) -> np.ndarray:
        """Return one grid as (height, width) uint8."""
        return self.cells_BSS[index, : int(self.height_B[index]), : int(self.width_B[index])].numpy()

    def list(self) -> "list[np.ndarray]":
        """Return all grids as arrays."""
        return [self.numpy(index) for index in range(len(self))]


def pack(grids: Sequence[np.ndarray], side: int) -> Grids:
    """Return grids, none with a side longer than `side`, as tensors."""
    cells = np.full((len(grids), side, side), PAD, dtype=np.uint8)
    for number, grid in enumerate(grids):
        cells[number, : grid.shape[0], : grid.shape[1]] = grid
    shapes = torch.tensor([grid.shape for grid in grids], dtype=torch.int64).reshape(-1, 2)
    return Grids(torch.from_numpy(cells), shapes[:, 0], shapes[:, 1])


def tokens(grids: Grids) -> torch.Tensor:
    """Return the grids written row by row, (B, L) uint8; PAD on the right."""
    step_B1 = grids.width_B[:, None] + 1
    place_L = torch.arange(int(grids.length_B.max()))
    row_BL, column_BL = place_L // step_B1, place_L % step_B1
    last, batch_B1 = grids.cells_BSS.shape[1] - 1, torch.arange(len(grids))[:, None]
    ids_BL = grids.cells_BSS[batch_B1, row_BL.clamp(max=last), column_BL.clamp(max=last)]
    ids_BL = ids_BL.masked_fill(column_BL == grids.width_B[:, None], ROW)
    return ids_BL.masked_fill(place_L >= grids.length_B[:, None], PAD)


def concatenate(pieces: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Concatenate right-padded sequences without pads in between.

    Args:
        pieces: ids (B, L) and lengths (B,), in order.

    Returns:
        ids (B, sum) uint8, PAD on the right, and their lengths (B,).
    """
    length_B = torch.stack([length for _, length in pieces]).sum(dim=0)
    out = torch.full((len(length_B), int(length_B.max()) + 1), PAD, dtype=torch.uint8)  # the last column takes all pads
    start_B = torch.zeros_like(length_B)
    for ids, piece_len_B in pieces:
        place_L = torch.arange(ids.shape[1])
        target_BL = torch.where(place_L < piece_len_B[:, None], start_B[:, None] + place_L, out.shape[1] - 1)
        out.scatter_(1, target_BL, ids)
        start_B = start_B + piece_len_B
    return out[:, :-1], length_B


def column_of(token: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same token for every row, as a piece for `concatenate`."""
    return torch.full((batch, 1), token, dtype=torch.uint8), torch.ones(batch, dtype=torch.int64)


def answer_tokens(grids: Grids) -> torch.Tensor:
    """Return the grids written as answers, EOS behind each, (B, L) uint8; PAD on the right."""
    return concatenate([(tokens(grids), grids.length_B), column_of(EOS, len(grids))])[0]


def apply_dihedral(grids: Grids, which_B: torch.Tensor) -> Grids:
    """Apply one of the square's 8 symmetries to each grid: bit 0 flips rows, bit 1 columns, then bit 2 transposes."""
    last = grids.cells_BSS.shape[1] - 1
    flips_rows, flips_columns, transposes = ((which_B & bit).bool()[:, None, None] for bit in (1, 2, 4))
    height, width, batch = (part[:, None, None] for part in (grids.height_B, grids.width_B, torch.arange(len(grids))))
    r, c = torch.arange(last + 1)[:, None], torch.arange(last + 1)
    row, column = torch.where(transposes, c, r), torch.where(transposes, r, c)  # before the transposition
    is_outside = (row >= height) | (column >= width)
    row = torch.where(flips_rows, height - 1 - row, row).clamp(0, last)
    column = torch.where(flips_columns, width - 1 - column, column).clamp(0, last)
    cells_BSS = grids.cells_BSS[batch, row, column].masked_fill(is_outside, PAD)
    sizes = (torch.where(transposes, width, height), torch.where(transposes, height, width))
    return Grids(cells_BSS, *(part.flatten() for part in sizes))


def recolour(grids: Grids, colours_BV: torch.Tensor) -> Grids:
    """Exchange the colours of each grid.

    Args:
        colours_BV: (B, VOCABULARY_SIZE) uint8, the new id of every id (PAD stays PAD).
    """
    flat = colours_BV.gather(1, grids.cells_BSS.flatten(1).long())
    return Grids(flat.view_as(grids.cells_BSS), grids.height_B, grids.width_B)


def colours_in_order(keys_BC: np.ndarray) -> torch.Tensor:
    """Return tables for `recolour`: the nine colours permuted, black and the special tokens unchanged.

    Args:
        keys_BC: (B, 9) numbers, by whose order the colours are permuted.
    """
    table = np.tile(np.arange(VOCABULARY_SIZE, dtype=np.uint8), (len(keys_BC), 1))
    table[:, 1:N_COLOURS] = 1 + np.argsort(keys_BC, axis=1)
    return torch.from_numpy(table)


def read_grid(ids: np.ndarray) -> np.ndarray | None:
    """Return the grid in generated tokens up to EOS, (height, width) uint8; None if they are no grid."""
    ends = np.flatnonzero(ids == EOS)
    if len(ends) == 0:
        return None
    written = np.append(ids[: ends[0]], ROW)
    width = int(np.argmax(written == ROW))
    if width == 0 or len(written) % (width + 1):
        return None
    lines = written.reshape(-1, width + 1)
    is_grid = (lines[:, -1] == ROW).all() and (lines[:, :-1] < N_COLOURS).all()
    return lines[:, :-1].astype(np.uint8) if is_grid else None
