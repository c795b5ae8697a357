"""The guess from the nearest patch against loops, and the documented number."""

import numpy as np
import pytest

from tasks.arc import nearest_patch


def row(rng, n_shown=2):
    grids = [rng.integers(0, 3, (2, *rng.integers(1, 5, 2))) for _ in range(n_shown)]
    shown = {"context_inputs": [g[0].tolist() for g in grids], "context_outputs": [g[1].tolist() for g in grids]}
    return {"input": rng.integers(0, 3, rng.integers(1, 5, 2)).tolist(), **shown}


def cell(grid, r, c):
    return grid[r][c] if 0 <= r < len(grid) and 0 <= c < len(grid[0]) else None


def by_loops(row):
    """The same with nothing but loops."""
    shown = list(zip(row["context_inputs"], row["context_outputs"], strict=True))
    around = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
    guess = [[0] * len(row["input"][0]) for _ in row["input"]]
    for r, c in np.ndindex(np.shape(row["input"])):
        best = -1
        for before, after in shown:
            for i, j in np.ndindex(np.shape(before)):
                equal = sum(cell(row["input"], r + y, c + x) == cell(before, i + y, j + x) for y, x in around)
                if equal > best:
                    best, guess[r][c] = equal, after[i][j]
    return guess


def test_every_cell_becomes_what_the_most_similar_patch_became():
    rng = np.random.default_rng(0)
    for _ in range(50):
        asked = row(rng)
        assert nearest_patch.nearest_patch(asked).tolist() == by_loops(asked)


def test_demonstrations_of_another_size_are_left_out():
    assert (
        nearest_patch.nearest_patch({"input": [[1]], "context_inputs": [[[1]]], "context_outputs": [[[1, 2]]]}) is None
    )


@pytest.mark.slow
def test_it_solves_as_many_pairs_as_the_documents_say(capsys):
    assert nearest_patch.main(["--max_side", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "11", "240"]
