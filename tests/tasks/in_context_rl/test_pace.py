"""How soon models learn, by hand."""

import numpy as np
import pytest

from tasks.in_context_rl.pace import first_reached, say_yardsticks, speed_up

from .model_helpers import Rows


def test_a_level_is_reached_where_a_line_between_points_is():
    episodes, returns = np.array([1, 5, 9, 13]), np.array([2.0, 4.0, 3.0, 8.0])
    expected = {1.0: 1, 2.0: 1, 3.0: 3, 4.0: 5, 5.0: 9 + 4 * 2 / 5, 8.0: 13, 8.1: None}
    assert {level: first_reached(episodes, returns, level) for level in expected} == pytest.approx(expected)


def test_a_speed_up_counts_all_episodes_of_the_source():
    """It has returns of 10, 11, ... in episodes 1, 3, ...; nine tenths of 20 are 18."""
    assert speed_up(np.concatenate([[0.0, 12.0, 18.0], np.full(10, 20.0)]), Rows()) == pytest.approx(17 / 3)
    assert speed_up(np.full(12, 40.0), Rows()) is None
    assert say_yardsticks(Rows()).splitlines() == [
        "posterior sampling: last 10 6.00, regret 3",
        "search within an episode: last 10 6.50, regret 2",
        "matching of action probabilities: last 10 5.50, regret 4",
    ]
