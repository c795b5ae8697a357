"""Numbers that belong to a row, and the order of the rows."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers import within
from trainers.sampling import GroupedByLength, RandomOrder, row_uniform


def test_drawn_numbers_are_uniform():
    for seeds, use in (([42, 0], "start"), ([0, 7], "depth"), ([2**63 - 1, 2**31], "x")):
        found = row_uniform(seeds, use, np.arange(4000), 5)
        assert found.shape == (4000, 5) and found.dtype == np.float64
        assert found.min() >= 0 and found.max() < 1
        assert within(found, 0.5)
        for sample in (found.ravel(), found[:, 0], found[17:300:3].ravel()):
            assert stats.kstest(sample, "uniform").pvalue > 1e-3
        lines = [found[:-1, 0], found[1:, 0], found[:-1, 1]]  # the next row, the next number
        assert np.abs(np.corrcoef(lines) - np.eye(3)).max() < 4 / np.sqrt(4000)
        assert len(np.unique(found)) == found.size
    by_epoch = np.array([row_uniform([42, epoch], "start", np.array([3]), 1)[0, 0] for epoch in range(1500)])
    assert stats.kstest(by_epoch, "uniform").pvalue > 1e-3


def test_drawn_numbers_follow_from_seeds_use_and_row_alone():
    rows, usual = np.array([8, 0, 3, 2**31]), row_uniform([42, 1], "start", np.array([8, 0, 3, 2**31]), 4)
    assert row_uniform([42, 1], "start", rows, 4).tolist() == usual.tolist()
    for place, row in enumerate(rows.tolist()):
        for others in ([row], [5, row, 6], [row, row], [1, 2, 3, 4, row]):
            for kind in (np.int64, np.int32, np.uint64):
                again = row_uniform([42, 1], "start", np.array(others, dtype=kind if row < 2**31 else np.int64), 4)
                assert again[others.index(row)].tolist() == usual[place].tolist()
    assert row_uniform([42, 1], "start", rows, 2).tolist() == usual[:, :2].tolist()  # however many are drawn


def test_drawn_numbers_change_with_seeds_use_and_row():
    rows = np.arange(1000)
    given = [
        ([42, 1], "start"), ([42, 2], "start"), ([43, 1], "start"), ([1, 42], "start"), ([42, 1], "depth"),
        ([42, 1], "tstar"), ([42], "start"), ([42, 1, 0], "start"), ([42 + 2**32, 1], "start"),
    ]  # fmt: skip
    found = [row_uniform(seeds, use, rows, 1)[:, 0] for seeds, use in given]
    assert len(np.unique(found)) == len(given) * 1000
    assert np.abs(np.corrcoef(found) - np.eye(len(given))).max() < 5 / np.sqrt(1000)


# --- the order of the rows


def loaders(n_rows, seed, batch_size=8, given=None):
    """The DataLoader of our order, and of accelerate's own of `RandomSampler`."""
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader, RandomSampler

    rows = range(n_rows)
    torch.manual_seed(seed if given is None else 7)
    for sampler in (RandomOrder(n_rows, given), RandomSampler(rows)):
        loader = DataLoader(rows, batch_size, sampler=sampler)
        yield prepare_data_loader(loader, num_processes=1, process_index=0, use_seedable_sampler=True, data_seed=given)


def order_of(loader, epoch):
    loader.set_epoch(epoch)
    return torch.cat(list(loader)).tolist()


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize(("n_rows", "seed"), [(1, 0), (97, 42), (2000, 2**32 - 1)])
def test_the_order_is_that_of_accelerates_sampler(n_rows, seed, is_given, monkeypatch):
    monkeypatch.setattr("trainers.sampling._ROWS_LISTED", 100)
    ours, theirs = loaders(n_rows, seed, given=seed if is_given else None)
    for epoch in (0, 1, 5, 1):
        found = order_of(ours, epoch)
        assert found == order_of(theirs, epoch) and sorted(found) == list(range(n_rows))


def test_an_order_goes_on_in_the_middle_of_an_epoch():
    from accelerate.data_loader import skip_first_batches

    loader, _ = loaders(97, 3)
    whole = order_of(loader, 2)
    loader.set_epoch(2)
    assert torch.cat(list(skip_first_batches(loader, 5))).tolist() == whole[40:]


def test_an_order_makes_no_list_of_all_rows():
    n_rows = 3_000_000
    tracemalloc.start()
    try:
        order = iter(RandomOrder(n_rows, 0))
        next(order)
        assert tracemalloc.get_traced_memory()[1] < 8e6  # Python's own objects: 40 bytes a number
    finally:
        tracemalloc.stop()
    grouped = GroupedByLength(torch.full((n_rows,), 20, dtype=torch.uint8), 1024, 0)
    assert 0 <= next(iter(grouped)) < n_rows


def test_orders_are_the_same_in_fewer_bits():
    for n_rows in (1, 1000, 70_000):
        for kind in (torch.int32, torch.int64):
            found = torch.randperm(n_rows, generator=torch.Generator().manual_seed(1), dtype=kind)
            assert torch.equal(found.long(), torch.randperm(n_rows, generator=torch.Generator().manual_seed(1)))
