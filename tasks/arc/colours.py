"""Colour codes: colours as they are, or as labels.

Labels make a model equivariant: exchanging colours in demonstrations and input leaves the labels unchanged, so the
logits are permuted like the colours. Black is the background in all tasks and keeps its label. Demonstrations are a
set, so their order decides nothing: colours of the input are labelled by order of appearance in it, then the others by
how many demonstrations have them, in how many cells, and in which places.

Colours that this does not tell apart share a label, whose probability is divided equally among them: those that have
appeared nowhere, and those whose exchange leaves the same set of demonstrations, such as the colours of two
demonstrations that are equal but for them. (Places are compared by two rounds of colour refinement. Sets exist in which
two colours differ and it does not notice; then they share a label too.)
"""

from dataclasses import dataclass

import torch

from tasks.arc.grids import N_COLOURS, PAD, VOCABULARY_SIZE

NEW = VOCABULARY_SIZE
"""The label of every colour that has not appeared."""
_LATER = 2**40  # keys of colours of the input, which come first, are places and smaller than this
_NEVER = torch.iinfo(torch.int64).max
_ROUNDS = 2


@dataclass(frozen=True)
class ColourCode:
    """Labels of a batch; without tensors every token is its own label.

    Attributes:
        label_BV: (B, VOCABULARY_SIZE) int64, token id -> label.
        share_BV: (B, VOCABULARY_SIZE), added to a token's logit: -log of the number of tokens with its label.
    """

    label_BV: torch.Tensor | None = None
    share_BV: torch.Tensor | None = None

    def labels(self, ids_BL: torch.Tensor) -> torch.Tensor:
        """Return the labels of token ids, (B, L) int64."""
        return ids_BL.long() if self.label_BV is None else self.label_BV.gather(1, ids_BL.long())

    def logits(self, by_label_BLN: torch.Tensor) -> torch.Tensor:
        """Return logits of the tokens, (B, L, VOCABULARY_SIZE), from logits of the labels."""
        if self.label_BV is None or self.share_BV is None:
            return by_label_BLN
        index = self.label_BV[:, None].expand(-1, by_label_BLN.shape[1], -1)
        return by_label_BLN.gather(2, index) + self.share_BV[:, None].to(by_label_BLN.dtype)

    def repeated(self, times: int) -> "ColourCode":
        """Repeat every row's code `times` times in a row."""
        if self.label_BV is None or self.share_BV is None:
            return self
        return ColourCode(*(part.repeat_interleave(times, dim=0) for part in (self.label_BV, self.share_BV)))

    def of_rows(self, rows: torch.Tensor) -> "ColourCode":
        """Return the code of some rows."""
        if self.label_BV is None or self.share_BV is None:
            return self
        return ColourCode(self.label_BV[rows], self.share_BV[rows])


def n_labels(colours: str) -> int:
    """Return the number of rows of the embedding and of the head."""
    return VOCABULARY_SIZE + (colours == "equivariant")


def colour_code(
    colours: str, input_ids: torch.Tensor, context_ids: torch.Tensor | None, by_order: bool = False
) -> ColourCode:
    """Return the code for a batch.

    Args:
        colours: `table` (as they are) or `equivariant`.
        input_ids: (B, L). context_ids: (B, P, L) or None.
        by_order: label all colours by order of appearance, demonstrations first: what models have learnt that were
            trained before the order of demonstrations counted for nothing.
    """
    if colours == "table":
        return ColourCode()
    if context_ids is not None and by_order:
        key_BC = _first_places(torch.cat([context_ids.flatten(1), input_ids], dim=1))
    else:
        key_BC = _first_places(input_ids)
        if context_ids is not None:
            key_BC = torch.minimum(key_BC, _keys_of_demonstrations(context_ids.long(), key_BC))
    rank_BC = 1 + (key_BC[:, None] < key_BC[:, :, None]).sum(dim=2)
    label_BV = torch.arange(VOCABULARY_SIZE, device=input_ids.device).repeat(len(input_ids), 1)
    label_BV[:, 1:N_COLOURS] = rank_BC.masked_fill(key_BC == _NEVER, NEW)
    share_BV = torch.zeros(label_BV.shape, device=input_ids.device)
    share_BV[:, 1:N_COLOURS] = -(key_BC[:, None] == key_BC[:, :, None]).sum(dim=2).float().log()
    return ColourCode(label_BV, share_BV)


def _first_places(ids_BL: torch.Tensor) -> torch.Tensor:
    """Return the first place of every colour but black, (B, 9) int64, `_NEVER` where there is none."""
    place_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    palette = torch.arange(1, N_COLOURS, device=ids_BL.device)
    return torch.where(ids_BL[:, None] == palette[:, None], place_L, _NEVER).amin(dim=2)


def _keys_of_demonstrations(ids_BPL: torch.Tensor, first_BC: torch.Tensor) -> torch.Tensor:
    """Return numbers by which colours that the input has not are ordered, (B, 9) int64, `_NEVER` where there is none.

    The places of a token in a demonstration are known by the sum of their pseudorandom numbers. A colour is told by its
    places in every demonstration and by what these look like to those who cannot tell the same colours apart.
    """
    batch, n_pairs, length = ids_BPL.shape
    number_BPL = _mixed(torch.arange(1, length + 1, device=ids_BPL.device)).expand_as(ids_BPL)
    nothing = ids_BPL.new_zeros(batch, n_pairs, VOCABULARY_SIZE)
    where_BPV = nothing.scatter_add(2, ids_BPL, number_BPL)
    cells_BPV = nothing.scatter_add(2, ids_BPL, torch.ones_like(ids_BPL))
    cells_BPV[..., PAD] = 0
    is_there = cells_BPV > 0
    known_BV = torch.arange(VOCABULARY_SIZE, device=ids_BPL.device).repeat(batch, 1)
    known_BV[:, 1:N_COLOURS] = VOCABULARY_SIZE + first_BC.clamp(max=_LATER)
    told_BV = known_BV
    for _ in range(_ROUNDS):
        look_BP1 = _mixed(where_BPV + _mixed(told_BV)[:, None]).mul(is_there).sum(dim=2, keepdim=True)
        seen_BV = _mixed(where_BPV + look_BP1).mul(is_there).sum(dim=1)
        told_BV = torch.where(known_BV < _LATER, known_BV, seen_BV)
    told_BC, n_shown_BC, n_cells_BC = (
        part[:, 1:N_COLOURS] for part in (told_BV, is_there.sum(dim=1), cells_BPV.sum(dim=1))
    )
    rarity_BC = (1 + ids_BPL.shape[1] - n_shown_BC) * 2**16 + 2**16 - n_cells_BC
    return (rarity_BC * _LATER + told_BC % _LATER).masked_fill(n_shown_BC == 0, _NEVER)


def _mixed(number: torch.Tensor) -> torch.Tensor:
    """Return pseudorandom int64 for int64, in the manner of SplitMix64 (Steele, Lea & Flood 2014); it wraps around."""
    number = number * (0x9E3779B97F4A7C15 - 2**64)
    number = (number ^ (number >> 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    number = (number ^ (number >> 27)) * (0x94D049BB133111EB - 2**64)
    return number ^ (number >> 31)
