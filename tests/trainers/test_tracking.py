"""What the tracker writes where MLflow has limits."""

import json

import mlflow

from trainers.tracking.mlflow_store import open_store, tracked_run


def test_a_run_of_many_evaluations_keeps_all_its_tables(prefix):
    """MLflow's own `log_table` fails at about the hundredth, when the tag that lists them is cut."""
    names = [f"samples/eval_validation_step_{step:07d}.json" for step in range(130)]
    with tracked_run(open_store("tables"), prefix / "many", None) as tracker:
        for step, name in enumerate(names):
            tracker.table({"task": ["a", "b"], "right": [step, 0.5]}, name)
    files = mlflow.MlflowClient().list_artifacts(tracker.run_id, "samples")
    assert sorted(file.path for file in files) == names
    tag = json.loads(mlflow.get_run(tracker.run_id).data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in tag] == names[-50:] and {entry["type"] for entry in tag} == {"table"}
    mlflow.set_experiment("tables")
    shown = mlflow.load_table(names[-1], run_ids=[tracker.run_id])
    assert shown.to_dict("list") == {"task": ["a", "b"], "right": [129, 0.5]}
