"""Report `map`: every metric of every view, over seeds."""

import pytest

from tasks.geography import map_report
from trainers.probes.views import ViewResult


def test_a_row_is_a_metric_with_its_interval_over_the_seeds_that_have_it():
    found = {
        "one": {1: ViewResult({"km": 100.0, "n": 5.0}), 2: ViewResult({"km": 300.0, "n": 5.0})},
        "other": {1: ViewResult({"share": 0.5}), 2: ViewResult({})},
    }
    rows = map_report.summary("small", found)
    assert [(row["view"], row["metric"], row["value"], row["value_seeds"]) for row in rows] == [
        ("one", "km", 200.0, 2),
        ("one", "n", 5.0, 2),
        ("other", "share", 0.5, 1),
    ]
    assert rows[0]["value_from"] == pytest.approx(200 - 12.7062 * 100, rel=1e-4)  # Student's t with one degree
    text = map_report.table(rows)
    assert "share" in text and "over n seeds, 2 at most" in text
