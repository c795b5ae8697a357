"""Comparing two models example by example."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers import assert_named, assert_one_line
from trainers.commands import compare
from trainers.contract import Evaluation, Predictions
from trainers.errors import UserError
from trainers.folders.predictions import PredictionsFile, write_predictions
from trainers.studies.paired import changed_rows, compare_paired, pair

METRIC = "haversine_km_mean"


def kept(folder, prompts, km, task="location", **more):
    """A file of predictions with these scores."""
    columns = {"prompt": prompts, "expected": ["x"] * len(prompts), "predicted": [f"{value}" for value in km]}
    table = Predictions(columns=columns, keys=("prompt", "expected"), scores={METRIC: km}, **more)
    evaluation = Evaluation(metrics={}, samples={}, values=km, predictions={"examples": table}, split="test", step=1)
    (path,) = write_predictions(folder, evaluation, {"task": task})
    return PredictionsFile(path)


def test_examples_are_found_again_in_any_order_and_the_difference_is_that_of_the_means(tmp_path):
    prompts, rng = np.array([f"c{n}" for n in range(60)]), np.random.default_rng(0)
    one, other, order = rng.exponential(size=60), rng.exponential(size=60), rng.permutation(60)
    found = pair(kept(tmp_path / "a", prompts, one), kept(tmp_path / "b", prompts[order], other[order]), METRIC)
    assert found.means == pytest.approx((one.mean(), other.mean())) and found.only == (0, 0)
    assert found.interval[0] < other.mean() - one.mean() < found.interval[1]
    changed = changed_rows(found, METRIC)
    assert len(changed) == 60 and changed["change"].abs().is_monotonic_decreasing
    assert changed["change"].to_numpy().sum() == pytest.approx((other - one).sum())


def test_equal_prompts_are_paired_in_their_order_and_others_are_counted(tmp_path):
    one = kept(tmp_path / "a", ["p", "p", "q", "only"], [1.0, 2.0, 3.0, 9.0])
    found = pair(one, kept(tmp_path / "b", ["q", "p", "p"], [3.0, 1.0, 5.0]), METRIC)
    assert found.only == (1, 0) and found.means == pytest.approx((2.0, 3.0))
    assert changed_rows(found, METRIC)["change"].tolist() == [3.0]


def test_grids_are_keys_too(tmp_path):
    grids = [[[1, 2], [3, 4]], [[5]]]
    for name in ("a", "b"):
        table = Predictions(
            columns={"task": ["t", "t"], "input": grids}, keys=("task", "input"), scores={METRIC: [1, 0]}
        )
        evaluation = Evaluation(metrics={}, samples={}, values=[], predictions={"examples": table}, split="test")
        write_predictions(tmp_path / name, evaluation, {"task": "location"})
    one, other = (PredictionsFile(tmp_path / name / "test_examples.parquet") for name in ("a", "b"))
    found = pair(one, other, METRIC)
    assert len(found.rows) == 2 and found.interval == (0, 0) and changed_rows(found, METRIC).empty


def test_what_changed_is_written_and_said(tmp_path, prefix, capsys):
    kept(tmp_path / "a", ["p", "q", "r"], [10.0, 10.0, 10.0])
    kept(tmp_path / "b" / "predictions", ["p", "q", "r"], [1.0, 10.0, 30.0])
    compare_paired(str(tmp_path / "a"), str(tmp_path / "b"), None, str(prefix / "compare" / "x"))
    frame = pd.read_csv(prefix / "compare" / "x" / "changed.csv")
    assert frame["prompt"].tolist() == ["r", "p"] and frame["change"].tolist() == [20, -9]
    assert "1 better, 1 worse, 1 equal" in capsys.readouterr().out


@pytest.mark.parametrize("problem", ["task", "prompts", "metric", "folder"])
def test_what_cannot_be_paired_is_refused(tmp_path, prefix, problem):
    kept(tmp_path / "a", ["p"], [1.0])
    kept(tmp_path / "b", ["q" if problem == "prompts" else "p"], [1.0], "distance" if problem == "task" else "location")
    other = "c" if problem == "folder" else "b"
    with pytest.raises(UserError) as error:
        compare_paired(str(tmp_path / "a"), str(tmp_path / other), "haversine" if problem == "metric" else METRIC, None)
    words = {"task": "distance", "prompts": "share no example", "metric": METRIC, "folder": ".parquet"}
    assert_named(str(error.value), words[problem])


def test_a_file_of_something_else_is_refused(tmp_path):
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    for name in ("other.parquet", "no.parquet", "nothing.parquet"):
        with pytest.raises(UserError, match="holds no predictions"):
            PredictionsFile(tmp_path / name)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["a", "b"], ["--paired"]),
        (["a", "--paired"], ["--paired"]),
        (["a", "b", "--paired", "--query", "x"], ["--query"]),
        (["a", "b", "c", "--paired"], ["c"]),
    ],
)
def test_the_command_asks_for_two(tmp_path, prefix, capsys, argv, names):
    assert compare.main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names)


def test_two_runs_are_compared_by_the_command(tmp_path, prefix, capsys):
    for name, km in (("a", [3.0, 4.0]), ("b", [3.0, 1.0])):
        kept(tmp_path / name / "predictions", ["p", "q"], km)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--paired"]) == 0
    assert f"{METRIC} on 2 examples: 3.5 -> 2" in capsys.readouterr().out
