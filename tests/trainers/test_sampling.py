"""Numbers that belong to a row."""

import numpy as np
from scipy import stats

from tests.helpers import within
from trainers.sampling import row_uniform


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
