"""The baselines of arc against the metric and plain loops."""

import inspect
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from tasks.arc import baselines
from tasks.arc.metric import generated_scores

from .score_helpers import CELLS, random_rows, score


def test_copying_identical_grids_is_perfect():
    _, grids, _ = random_rows()
    found = baselines.scores(grids, grids, {"copy": grids, "common": [np.array([[0]])] * len(grids)})
    for name in ("exact_match", "pass_at_2", "shape_accuracy", "cell_accuracy", "grid_accuracy", "copy_rate"):
        assert found[name]["copy"] == 1
    assert found["exact_match"]["common"] < 1


def test_the_baselines_are_the_metric_of_their_guesses():
    inputs, references, _ = random_rows()
    common = [np.array([[3, 0], [0, 3]], dtype=np.uint8)] * len(inputs)
    found = baselines.scores(inputs, references, {"copy": inputs, "common": common})
    for name, guess in (("copy", inputs), ("common", common)):
        cells = [
            [int(grid[r, c]) if r < len(grid) and c < len(grid[0]) else 0 for r, c in np.ndindex(true.shape)]
            for grid, true in zip(guess, references, strict=True)
        ]
        expected = score([[grid] for grid in guess], references, inputs, cells)
        del expected["parse_rate"]
        assert {metric: found[metric][name] for metric in expected} == expected
    assert all(0 <= value <= 1 for values in found.values() for value in values.values())


def test_the_repeat_baseline_is_a_plain_loop():
    inputs, references, _ = random_rows()
    found = baselines.scores(inputs, references, {"copy": inputs})
    right = total = 0
    for grid in references:
        last = 0
        for cell in grid.ravel().tolist():
            right, total, last = right + (cell == last), total + 1, cell
    assert found["cell_accuracy"]["repeat"] == pytest.approx(right / total)
    assert {metric for metric in found if "repeat" in found[metric]} == set(CELLS)


def test_repeating_fails_where_colours_begin():
    grid = np.array([[0, 0, 4, 4], [4, 4, 0, 0]], dtype=np.uint8)
    assert baselines.scores([grid], [grid], {"copy": [grid]})["cell_accuracy"]["repeat"] == 6 / 8


@pytest.mark.parametrize("seed", range(5))
def test_the_most_common_grid_is_that_of_a_counter(seed):
    rng = np.random.default_rng(seed)
    grids = [rng.integers(0, 2, rng.integers(1, 3, 2), dtype=np.uint8) for _ in range(30)]
    counted = Counter(str(grid.tolist()) for grid in grids)
    assert str(baselines.most_common(grids).tolist()) == counted.most_common(1)[0][0]


def test_of_equally_common_grids_the_first_is_taken_and_shapes_are_told_apart():
    a, b, c = (np.full(shape, 0, dtype=np.uint8) for shape in ((1, 4), (4, 1), (2, 2)))
    assert baselines.most_common([a, b, c]).shape == (1, 4)
    assert baselines.most_common([c, b, a, b, a]).shape == (4, 1)
    assert baselines.most_common([c]).shape == (2, 2)


def test_what_is_guessed_does_not_depend_on_the_true_output(monkeypatch):
    assert set(inspect.signature(baselines.most_common).parameters) == {"grids"}
    guessed = []

    def overheard(attempts, references):
        guessed.append([[grid.tolist() for grid in tried] for tried in attempts])
        return generated_scores(attempts, references)

    monkeypatch.setattr(baselines, "generated_scores", overheard)
    inputs, references, _ = random_rows()
    guesses = {"copy": inputs, "common": inputs[::-1]}
    baselines.scores(inputs, references, guesses)
    baselines.scores(inputs, [9 - grid.T for grid in references], guesses)
    assert guessed[:2] == guessed[2:] == [[[grid.tolist()] for grid in part] for part in (inputs, inputs[::-1])]


# --- the ceiling


def grid(*lines):
    return np.array(lines, dtype=np.uint8)


SHOWN = [(grid([0, 1]), grid([2, 1])), (grid([3]), grid([0]))]
"""Demonstrations with the colours 1, 2 and 3."""


@pytest.mark.parametrize(
    ("given", "expected", "chance"),
    [
        (grid([1, 4]), grid([1, 4], [2, 3]), 1),  # all stand in the input or in a demonstration
        (grid([0]), grid([0, 0]), 1),
        (grid([1]), grid([0]), 1),  # black is known
        (grid([1]), grid([5]), 1 / 6),  # 4 to 9 are six that nothing tells apart
        (grid([1]), grid([5, 5, 1], [5, 2, 5]), 1 / 6),  # a colour is guessed once
        (grid([1]), grid([5, 9]), 1 / 30),
        (grid([4, 5, 6, 7, 8]), grid([9]), 1),  # the only one that is left
        (grid([4, 5, 6, 7]), grid([9]), 1 / 2),
        (grid([4, 5, 6, 7]), grid([9, 8]), 1 / 2),  # either way round
    ],
)
def test_the_ceiling_is_the_chance_to_guess_the_colours_that_stand_nowhere(given, expected, chance):
    assert baselines.ceiling(given, expected, SHOWN) == pytest.approx(chance)


@pytest.mark.parametrize("seed", range(5))
def test_the_ceiling_is_what_a_guesser_reaches_that_knows_all_but_the_names_of_unseen_colours(seed):
    rng = np.random.default_rng(seed)
    pairs = [(rng.integers(0, 4, (2, 2)), rng.integers(0, 4, (2, 2)))]
    given, expected = rng.integers(0, 5, (1, 2)), rng.integers(0, 10, (1, 3))
    known = {0} | {int(colour) for part in (given, *pairs[0]) for colour in part.ravel()}
    unknown = [colour for colour in range(10) if colour not in known]
    needed = [int(colour) for colour in dict.fromkeys(expected.ravel().tolist()) if colour not in known]
    guesses = list(permutations(unknown, len(needed)))
    assert baselines.ceiling(given, expected, pairs) == pytest.approx(guesses.count(tuple(needed)) / len(guesses))
