"""Sample rows grouped by length, draw random numbers keyed by (seeds, use, row), and pick examples to show."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

_BATCHES_SORTED_TOGETHER = 50  # fewer leave more padding, more leave less randomness
_ROWS_LISTED = 2**16  # numbers in a Python list at a time; all of 100 million take 4 GB


class GroupedByLength(Sampler[int]):
    """Rows in random order, of which every 50 batches' worth is sorted by length; then the batches are shuffled.

    The order depends on the seed and the epoch only, so that a resumed run continues where it was.
    """

    def __init__(self, length_N: torch.Tensor, batch_size: int, seed: int) -> None:
        self.length_N, self.batch_size, self.seed, self.epoch = length_N, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.length_N)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self), generator=generator, dtype=_index_type(len(self)))
        sorted_ = [
            part[self.length_N[part].long().argsort()]
            for part in order.split(_BATCHES_SORTED_TOGETHER * self.batch_size)
        ]
        batches = list(torch.cat(sorted_).split(self.batch_size))
        last = batches.pop() if len(batches[-1]) < self.batch_size else None  # an incomplete batch must stay the last
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        for batch in (*(batches[number] for number in shuffled), *([] if last is None else [last])):
            yield from batch.tolist()


class RandomOrder(Sampler[int]):
    """Rows in random order, that of accelerate's `SeedableRandomSampler`, which makes a Python list of all of them.

    The order depends on the seed and the epoch only, so that a resumed run continues where it was.
    """

    def __init__(self, n_rows: int, seed: int | None = None) -> None:
        """Order so many rows by a seed, that of torch's own generator if none is given."""
        self.n_rows, self.seed, self.epoch = n_rows, torch.random.initial_seed() if seed is None else seed, 0

    def __len__(self) -> int:
        return self.n_rows

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self), generator=generator, dtype=_index_type(len(self)))
        for part in order.split(_ROWS_LISTED):
            yield from part.tolist()


def _index_type(n_rows: int) -> torch.dtype:
    """Return the shorter type that holds all row numbers; the order of `torch.randperm` is the same in both."""
    return torch.int32 if n_rows <= 2**31 else torch.int64


def row_uniform(seeds: Sequence[int], use: str, rows_B: np.ndarray, count: int) -> np.ndarray:
    """Return uniform numbers in [0, 1), (B, count), that depend on seeds, use and row only.

    They are the same among other rows, in another process, and after an interruption.
    """
    stream = np.random.SeedSequence([*seeds, *use.encode()]).generate_state(1, np.uint64)
    place_BC = rows_B[:, None].astype(np.uint64) * np.uint64(2**32) + np.arange(count, dtype=np.uint64)
    return (_hashed(place_BC + stream) >> np.uint64(11)) / 2.0**53


def _hashed(number: np.ndarray) -> np.ndarray:
    """Return pseudorandom uint64 for uint64: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    number = number * np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def pick_examples(first: Sequence[int], goodness_N: np.ndarray, seed: int) -> list[tuple[str, int]]:
    """Return rows to show, each with why: the first ones that are given, and as many of the worst and at random."""
    count = min(len(first), len(goodness_N))
    worst = np.argsort(goodness_N, kind="stable")[:count]
    drawn = np.random.default_rng(seed).choice(len(goodness_N), count, replace=False)
    return [(why, int(row)) for why, of in (("first", first), ("worst", worst), ("random", drawn)) for row in of]
