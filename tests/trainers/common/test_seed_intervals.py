"""Intervals over seeds against SciPy's t tests, and the band of a figure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from trainers.common.figures import draw_seeds
from trainers.common.intervals import (
    INTERVAL,
    interval_cell,
    interval_columns,
    interval_of,
    mean_interval,
    paired_interval,
    seeds_note,
)

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8).filter(lambda values: np.std(values) > 1e-3)


@given(VALUES)
def test_the_interval_of_a_mean_is_students(values):
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_interval(values)
    assert list(found) == list(INTERVAL)
    assert list(found.values()) == pytest.approx([len(values), np.mean(values), low, high], rel=1e-9, abs=1e-9)


@given(VALUES)
def test_a_difference_is_of_pairs_with_one_seed(differences):
    values = dict(enumerate(np.linspace(0, 50, len(differences))))
    others = {seed: values[seed] - difference for seed, difference in reversed([*enumerate(differences)])}
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    found = paired_interval({**values, "alone": 1e9}, {**others, "other": -1e9})
    assert found["seeds"] == len(differences)
    assert [found["95 % from"], found["95 % to"]] == pytest.approx(list(expected), rel=1e-6, abs=1e-6)


def test_one_value_has_no_interval_and_none_no_mean():
    assert list(mean_interval([3.0]).values()) == [1, 3.0, None, None]
    assert list(mean_interval([]).values()) == [0, None, None, None]
    assert interval_cell(mean_interval([])) == "-" and interval_cell(mean_interval([3.0]), ".1f") == "3.0"


def test_columns_are_read_back_and_shown():
    stated = mean_interval([1.0, 2.0, 3.0])
    columns = interval_columns("x", stated)
    assert list(columns) == ["x", "x_from", "x_to", "x_seeds"] and interval_of(columns, "x") == stated
    assert interval_cell(stated, ".2f") == "2.00 [-0.48, 4.48]"


def test_a_note_says_what_stands_in_brackets():
    assert seeds_note([1, 1]) == "one run of every model" == seeds_note([])
    assert "3 at most" in seeds_note([2, 3])


def test_several_curves_are_a_mean_a_band_and_thin_lines():
    axes = Figure().subplots()
    draw_seeds(axes, [0, 1], [[0.0, 2.0], [2.0, 4.0]], label="two")
    assert list(axes.lines[0].get_ydata()) == [1.0, 3.0] and len(axes.lines) == 3
    (band,) = axes.collections
    low, high = stats.ttest_1samp([0.0, 2.0], 0).confidence_interval(0.95)
    assert band.get_paths()[0].get_extents().y0 == pytest.approx(low)
    assert band.get_paths()[0].get_extents().y1 == pytest.approx(high + 2)
    draw_seeds(axes, [0, 1], [[0.0, 1.0]], label="one")
    assert len(axes.collections) == 1
