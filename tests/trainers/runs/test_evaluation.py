"""Evaluating a finished run again: the same numbers, every prediction, another dataset."""

import csv
import json
import shutil

import mlflow
import numpy as np
import pytest

from tests.helpers import assert_named, assert_one_line, printed_elsewhere, results_of
from trainers import registry
from trainers.commands import evaluate
from trainers.folders.predictions import PredictionsFile
from trainers.folders.run_folder import RunFolder

FAMILIES = ["random_walk", "arc", "darkroom"]


def written(folder, step):
    """The numbers of an evaluation, and its folder."""
    place = folder / "evaluations" / f"step-{step}"
    return json.loads((place / "evaluation.json").read_text())["metrics"], place


@pytest.mark.parametrize("task", ["location", *FAMILIES])
def test_the_numbers_are_those_of_the_training_to_the_last_digit(runs, task):
    folder, expected = runs[task], results_of(runs[task])
    assert evaluate.main([str(folder)]) == 0
    found, _ = written(folder, expected["kept_step"])
    assert found and found == {name: value for name, value in expected.items() if name in found}
    assert {n for n in expected if n.startswith("final_") and not n.endswith("_elapsed_s")} == found.keys()


@pytest.mark.parametrize("task", ["location", *FAMILIES])
def test_the_metrics_that_are_means_come_out_of_the_kept_predictions(runs, task):
    folder, expected = runs[task], results_of(runs[task])
    files = [PredictionsFile(path) for path in (folder / "predictions").glob("*.parquet")]
    found = {f"final_{file.facts['split']}_{name}": value for file in files for name, value in file.metrics.items()}
    assert found == {name: pytest.approx(expected[name], rel=1e-12, abs=1e-12) for name in found}
    assert any(name.endswith(registry.load(task).primary_metric) for name in found)
    assert all(np.array_equal(file.frame.index, np.arange(len(file.frame))) for file in files)


def test_every_metric_of_location_is_computed_from_kept_answers_alone(runs):
    from tasks.geography.location.answers import places_deg
    from tasks.geography.location.metric import Haversine

    (path,) = (runs["location"] / "predictions").glob("*.parquet")
    frame = PredictionsFile(path).frame
    found = Haversine().compute(predictions=places_deg(frame["predicted"]), references=places_deg(frame["expected"]))
    expected = results_of(runs["location"])
    assert {f"final_memorisation_{name}": value for name, value in found.items()}.items() <= expected.items()


def test_evaluations_of_all_checkpoints_are_those_of_the_training(runs, capsys):
    folder = runs["location"]
    assert evaluate.main([str(folder), "--checkpoint", "all"]) == 0
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    for step in RunFolder(folder).checkpoints:
        found, _ = written(folder, step)
        (logged,) = [entry for entry in history if entry["step"] == step and "eval_memorisation_loss" in entry]
        assert {name.replace("final_", "eval_", 1): value for name, value in found.items()}.items() <= logged.items()
    assert (folder / "evaluations" / "evaluations.csv").read_text().count("\n") == 1 + len(
        RunFolder(folder).checkpoints
    )


def test_an_evaluation_is_tracked_below_its_run_and_is_no_run_to_compare(runs, capsys):
    folder = runs["location"]
    assert evaluate.main([str(folder), "--checkpoint", "2"]) == 0
    run_id = RunFolder(folder).run_id
    child, *_ = mlflow.search_runs(
        search_all_experiments=True, filter_string=f"tags.evaluates = '{run_id}'", output_format="list"
    )
    assert child.data.tags["mlflow.parentRunId"] == run_id and child.info.status == "FINISHED"
    assert (
        child.data.metrics["memorisation/haversine_km_mean"]
        == written(folder, 2)[0]["final_memorisation_haversine_km_mean"]
    )
    names = {file.path for file in mlflow.artifacts.list_artifacts(run_id=child.info.run_id, artifact_path="step-2")}
    assert {"step-2/evaluation.json", "step-2/memorisation_examples.parquet"} <= names
    from trainers.tracking.queries import EVALUATES_TAG, find

    assert child.info.run_id in {run.info.run_id for run in find(f"tags.{EVALUATES_TAG} = '{run_id}'")}


def test_options_of_the_dataset_make_another_one_and_leave_the_runs_results(runs, capsys):
    folder = runs["random_walk"]
    before = (folder / "results.json").read_bytes()
    assert evaluate.main([str(folder), "--dataset_seed", "7", "--split", "validation"]) == 0
    (place,) = (folder / "evaluations").glob("random_walk-*/step-2")
    found = json.loads((place / "evaluation.json").read_text())
    assert found["dataset_folder"] != str(RunFolder(folder).dataset) and len(found["metrics"]) > 3
    assert (folder / "results.json").read_bytes() == before and "note:" not in capsys.readouterr().out


def test_another_world_is_said(runs, capsys):
    assert evaluate.main([str(runs["location"]), "--n_cities", "30"]) == 0
    shown = capsys.readouterr().out
    assert "note:" in shown and "another world" in shown


def test_later_evaluations_add_to_earlier_ones(runs):
    folder = runs["random_walk"]
    for more in (["--split", "test"], ["--split", "validation"], ["--checkpoint", "0"]):
        assert evaluate.main([str(folder), *more]) == 0
    found, place = written(folder, 2)
    assert any("_test_" in name for name in found) and any("_validation_" in name for name in found)
    rows = list(csv.DictReader((place.parent / "evaluations.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "2"]
    assert float(rows[1]["final_test_legal_steps"]) == found["final_test_legal_steps"]
    runs_page = runs["location"]
    for step in ("2", "4"):
        assert evaluate.main([str(runs_page), "--checkpoint", step]) == 0
    page = (runs_page / "evaluations" / "memorisation.html").read_text()
    assert '"label":"2"' in page and '"label":"4"' in page


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--checkpoint", "3"], ["--checkpoint 3", "0, 2, 4"]),
        (["--checkpoint", "newest"], ["--checkpoint newest", "best, last, all"]),
        (["--split", "tset"], ["--split tset", "memorisation"]),
        (["--dataset", "nowhere"], ["--dataset", "nowhere"]),
        (["--n_citys", "7"], ["n_cities"]),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(runs, capsys, argv, names):
    assert evaluate.main([str(runs["location"]), *argv]) == 2
    assert_one_line(capsys.readouterr().err, *names)


def test_a_given_dataset_is_taken_as_it_is(runs, capsys):
    dataset = str(RunFolder(runs["location"]).dataset)
    assert evaluate.main([str(runs["location"]), "--dataset", dataset, "--n_cities", "7"]) == 2
    assert_named(capsys.readouterr().err, "--n_cities")


def test_a_run_that_was_interrupted_is_evaluated_at_its_best_step_so_far(runs, tmp_path, shared_prefix, capsys):
    folder = shared_prefix / "runs" / "interrupted"
    shutil.copytree(runs["location"], folder)
    (folder / "results.json").unlink()
    (folder / "model.safetensors").unlink()
    assert evaluate.main([str(folder)]) == 0
    best = json.loads((folder / "checkpoint-4" / "trainer_state.json").read_text())["best_global_step"]
    assert written(folder, best)[0]
    shutil.rmtree(folder)


def test_the_training_split_is_evaluated_without_baselines(runs):
    assert evaluate.main([str(runs["location"]), "--split", "train"]) == 0
    found, _ = written(runs["location"], results_of(runs["location"])["kept_step"])
    assert "final_train_haversine_km_mean" in found and not [n for n in found if n.startswith("final_train_baseline")]


def test_what_an_evaluation_leaves_is_the_runs_own_and_goes_with_it(runs, shared_prefix):
    folder = RunFolder(shutil.copytree(runs["location"], shared_prefix / "runs" / "to-delete"))
    assert evaluate.main([str(folder.path)]) == 0
    (folder.path / "note.txt").write_text("mine")
    assert folder.delete_written() == ["note.txt"]
    shutil.rmtree(folder.path)


def test_an_evaluation_lies_in_the_experiment_of_its_run_also_if_that_was_renamed(runs, shared_prefix):
    client, run_id = mlflow.MlflowClient(), RunFolder(runs["arc"]).run_id
    experiment_id = client.get_run(run_id).info.experiment_id
    client.rename_experiment(experiment_id, "renamed")
    try:
        assert evaluate.main([str(runs["arc"])]) == 0
    finally:
        client.rename_experiment(experiment_id, "arc-before")
    found = client.search_runs([experiment_id], f"tags.evaluates = '{run_id}'")
    assert found and found[0].data.tags["mlflow.parentRunId"] == run_id


def test_a_dataset_with_rows_longer_than_the_context_is_refused_by_what_applies_here(runs, capsys):
    assert evaluate.main([str(runs["random_walk"]), "--longest_walk", "30"]) == 2
    error = capsys.readouterr().err
    assert_one_line(error, "context", "64", "shorter rows")
    assert "init_from" not in error and "start from" not in error


LOST = """
from trainers.commands import evaluate, predict, push, train
for main, argv in (({main}, {argv!r}),):
    assert main(argv) == 2
import sys
print([name for name in ("torch", "datasets", "transformers") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("main", "argv"),
    [
        ("evaluate.main", ["nowhere"]),
        ("evaluate.main", ["RUN", "--checkpont", "3"]),
        ("evaluate.main", ["RUN", "--dataset", "nowhere"]),
        ("predict.main", ["nowhere", "loc(c_1)="]),
        ("push.main", ["nowhere", "me/location"]),
        ("train.main", ["--task", "locaton"]),
        ("train.main", ["--task", "location", "--dataset", "nowhere"]),
        ("train.main", ["--task", "location", "--init_from", "nowhere"]),
        ("train.main", ["--resume_from_checkpoint", "nowhere"]),
    ],
)
def test_what_is_not_there_is_refused_before_anything_heavy_is_imported(main, argv, runs):
    named = [str(runs["location"]) if word == "RUN" else word for word in argv]
    assert printed_elsewhere(LOST.format(main=main, argv=named)).splitlines()[-1] == "[]"
