"""The guess from the nearest patch against loops, and the documented number."""

import numpy as np
import pytest

from tasks.arc import nearest_patch
from tests.helpers import assert_one_line


def example(rng, n_shown=2):
    """An input and demonstrations."""
    pairs = [tuple(rng.integers(0, 3, (2, *rng.integers(1, 5, 2)), dtype=np.uint8)) for _ in range(n_shown)]
    return rng.integers(0, 3, rng.integers(1, 5, 2), dtype=np.uint8), pairs


def cell(grid, r, c):
    return grid[r, c] if 0 <= r < len(grid) and 0 <= c < len(grid[0]) else None


def by_loops(given, shown):
    """The same with nothing but loops."""
    around = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
    guess = np.zeros_like(given)
    for r, c in np.ndindex(given.shape):
        best = -1
        for before, after in shown:
            for i, j in np.ndindex(before.shape):
                equal = sum(cell(given, r + y, c + x) == cell(before, i + y, j + x) for y, x in around)
                if equal > best:
                    best, guess[r, c] = equal, after[i, j]
    return guess


def test_every_cell_becomes_what_the_most_similar_patch_became():
    rng = np.random.default_rng(0)
    for _ in range(50):
        asked = example(rng, n_shown=int(rng.integers(1, 5)))
        np.testing.assert_array_equal(nearest_patch.nearest_patch(*asked), by_loops(*asked))


def test_demonstrations_of_another_size_are_left_out():
    one, other, wide = (np.array([cells], dtype=np.uint8) for cells in ([1], [2], [1, 2]))
    assert nearest_patch.nearest_patch(one, [(one, wide), (one, other)]).tolist() == [[2]]
    assert nearest_patch.nearest_patch(one, [(one, wide)]).tolist() == [[1]]  # nothing is left but to copy


def test_where_no_pair_is_unseen_there_is_nothing_to_solve(capsys):
    asked = ["--max_side", "10", "--pairs_per_task", "5", "--n_val", "0", "--n_test", "0"]
    assert nearest_patch.main(asked) == 2
    assert_one_line(capsys.readouterr().err, "--n_test 0", "--unseen_source generated")


@pytest.mark.slow
def test_it_solves_as_many_pairs_as_the_documents_say(capsys):
    assert nearest_patch.main(["--max_side", "10", "--same_context"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "11", "195.6", "240"]
