"""The order of training rows with `--group_by_length`: rows of like length share a batch."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

_BATCHES_SORTED_TOGETHER = 50  # fewer leave more padding, more leave less chance


class GroupedByLength(Sampler[int]):
    """Rows in random order, of which every 50 batches' worth is sorted by length; then the batches are shuffled.

    The order follows from the seed and the epoch alone, so that a resumed run goes on where it was.
    """

    def __init__(self, length_N: torch.Tensor, batch_size: int, seed: int) -> None:
        self.length_N, self.batch_size, self.seed, self.epoch = length_N, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.length_N)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch's."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self), generator=generator)
        sorted_ = [
            part[self.length_N[part].argsort()] for part in order.split(_BATCHES_SORTED_TOGETHER * self.batch_size)
        ]
        batches = list(torch.cat(sorted_).split(self.batch_size))
        last = batches.pop() if len(batches[-1]) < self.batch_size else None  # an incomplete batch must stay the last
        shuffled = [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]
        return iter(torch.cat([*shuffled, *([] if last is None else [last])]).tolist())
