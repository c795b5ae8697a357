"""Test-time training as an evaluation of a finished run: what is written and tracked, what is refused."""

import csv
import json

import mlflow
import pytest

from tests.helpers import assert_one_line, contents
from trainers.commands import evaluate
from trainers.folders.predictions import PredictionsFile
from trainers.folders.run_folder import RunFolder

FEW = ["--adapt", "--adapt_contexts", "2", "--adapt_steps", "1", "--adapt_batch_size", "2", "--adapt_processes", "1"]
FEW += ["--adapt_tasks", "a9f96cdd,b27ca6d3", "--adapt_queries", "1"]


def run_of(folder):
    """Everything in a run's folder but its evaluations."""
    return {path: what for path, what in contents(folder).items() if path.parts[0] != "evaluations"}


def places(folder):
    return sorted((folder / "evaluations" / "test_time_training" / "step-2").iterdir())


@pytest.fixture(scope="module")
def adapted(runs):
    """The folder of a run that was evaluated so, and what it held before."""
    before = run_of(runs["arc"])
    assert evaluate.main([str(runs["arc"]), *FEW]) == 0
    return runs["arc"], before


def test_nothing_of_the_run_is_changed(adapted):
    folder, before = adapted
    assert run_of(folder) == before


def test_table_predictions_and_figures_are_written_and_say_what_they_are(adapted):
    (place,) = places(adapted[0])
    names = {path.name for path in place.iterdir()}
    assert {"test_time_training.csv", "curve.png", "queries.png", "evaluation.json", "parts"} <= names
    lines = list(csv.DictReader((place / "test_time_training.csv").read_text().splitlines()))
    file = PredictionsFile(place / "unseen_tasks_adapted_k2.parquet")
    assert file.facts["evaluation"] == "test_time_training" and file.facts["step"] == 2
    assert len(file.frame) == int(lines[0]["pairs"]) == 2
    assert file.metrics["pass_at_2"] == float(lines[0]["pass_at_2"])
    assert json.loads((place / "evaluation.json").read_text())["options"]["adapt_steps"] == 1


def test_it_is_tracked_below_the_run(adapted):
    run_id = RunFolder(adapted[0]).run_id
    asked = {"search_all_experiments": True, "output_format": "list"}
    found = mlflow.search_runs(filter_string=f"tags.evaluates = '{run_id}'", **asked)
    (child,) = [run for run in found if "test-time training" in run.data.tags["mlflow.runName"]]
    assert child.info.status == "FINISHED" and child.data.params["adapt_contexts"] == "2"
    assert "test_time_training/adapted_k2_pass_at_2" in child.data.metrics
    assert all(name.startswith("test_time_training/") for name in child.data.metrics)


def test_other_settings_are_kept_apart_and_more_tasks_are_not(adapted, capsys):
    folder, (place, *others) = adapted[0], places(adapted[0])
    assert not others
    assert evaluate.main([str(folder), *FEW, "--adapt_tasks", "a9f96cdd"]) == 0
    assert places(folder) == [place] and "4 of 4 parts are finished already" in capsys.readouterr().out
    assert evaluate.main([str(folder), *FEW, "--adapt_rate", "1e-4", "--no_adapt_controls"]) == 0
    assert len(places(folder)) == 2


@pytest.mark.parametrize(
    ("name", "argv", "named"),
    [
        ("location", [], ["--adapt", "location"]),
        ("arc", ["--split", "train"], ["--split train", "unseen_tasks"]),
        ("arc", ["--adapt_contexts", "1"], ["--adapt_contexts 1", "2 to 16"]),
        ("arc", ["--adapt_tasks", "a9f96cde"], ["a9f96cde", "a9f96cdd"]),
        ("arc", ["--adapt_step", "3"], ["adapt_steps"]),
    ],
)
def test_what_cannot_be_is_answered_in_one_line(runs, capsys, name, argv, named):
    assert evaluate.main([str(runs[name]), "--adapt", *argv]) == 2
    assert_one_line(capsys.readouterr().err, *named)
