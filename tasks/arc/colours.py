"""Colour codes: colours as they are, or as labels by order of appearance.

The second makes a model equivariant: exchanging colours in demonstrations and input leaves the labels unchanged, so the
logits are permuted like the colours. Black is the background in all tasks and keeps its label. Colours that have not
appeared share one label, whose probability is divided equally among them.
"""

from dataclasses import dataclass

import torch

from tasks.arc.grids import N_COLOURS, VOCABULARY_SIZE

NEW = VOCABULARY_SIZE
"""The label of every colour that has not appeared."""


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


def colour_code(colours: str, input_ids: torch.Tensor, context_ids: torch.Tensor | None) -> ColourCode:
    """Return the code for a batch.

    Args:
        colours: `table` (as they are) or `equivariant`.
        input_ids: (B, L). context_ids: (B, P, L) or None; demonstrations are read first.
    """
    if colours == "table":
        return ColourCode()
    shown = input_ids if context_ids is None else torch.cat([context_ids.flatten(1), input_ids], dim=1)
    place_T = torch.arange(shown.shape[1], device=shown.device)
    palette = torch.arange(1, N_COLOURS, device=shown.device)
    first_BC = torch.where(shown[:, None] == palette[:, None], place_T, len(place_T)).amin(dim=2)
    rank_BC = first_BC.argsort(dim=1, stable=True).argsort(dim=1) + 1
    is_new_BC = first_BC == len(place_T)
    label_BV = torch.arange(VOCABULARY_SIZE, device=shown.device).repeat(len(shown), 1)
    label_BV[:, 1:N_COLOURS] = rank_BC.masked_fill(is_new_BC, NEW)
    share_BV = torch.zeros(label_BV.shape, device=shown.device)
    n_new_B1 = is_new_BC.sum(dim=1, keepdim=True).clamp(min=1)
    share_BV[:, 1:N_COLOURS] = torch.where(is_new_BC, -n_new_B1.float().log(), 0.0)
    return ColourCode(label_BV, share_BV)
