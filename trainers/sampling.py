"""Order rows (random, by length, from a growing world), draw numbers keyed by (seeds, use, row), pick examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Stage:
    """A part of a run that trains in a smaller world."""

    rows_N: torch.Tensor
    """Numbers of the rows that exist in it, int32 or int64."""
    stop: int
    """The position in the run's order, counted in rows from its beginning, at which it ends."""


class GrowingOrder(Sampler[int]):
    """Rows of smaller worlds in the first stages of a run, then all; each in random order, a new one at every pass.

    A pass has every row of its stage once, and goes on over the end of an epoch. The row at a position follows from the
    seed and the position only, so that a resumed run continues where it was.
    """

    def __init__(self, n_rows: int, stages: Sequence[Stage], seed: int) -> None:
        self.n_rows, self.stages, self.seed, self.epoch = n_rows, stages, seed, 0

    def __len__(self) -> int:
        return self.n_rows

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        at, end = self.epoch * self.n_rows, (self.epoch + 1) * self.n_rows
        while at < end:
            rows = self._rows_between(at, end)
            for part in rows.split(_ROWS_LISTED):
                yield from part.tolist()
            at += len(rows)

    def _rows_between(self, at: int, end: int) -> torch.Tensor:
        """Return the rows from a position to the end of its pass, its stage or the epoch, whatever comes first."""
        number = sum(stage.stop <= at for stage in self.stages)
        is_last = number == len(self.stages)
        n_rows = self.n_rows if is_last else len(self.stages[number].rows_N)
        start = self.stages[number - 1].stop if number else 0
        n_pass, skipped = divmod(at - start, n_rows)
        key = np.random.SeedSequence([self.seed, number, n_pass]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(key[0]))
        order = torch.randperm(n_rows, generator=generator, dtype=_index_type(n_rows))
        stop = end if is_last else min(end, self.stages[number].stop)
        chosen = order[skipped : skipped + stop - at]
        return chosen if is_last else self.stages[number].rows_N[chosen]


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
