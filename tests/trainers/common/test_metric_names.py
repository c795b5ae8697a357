"""The names of metrics: composed and parsed by one module, each the inverse of the other."""

import itertools

import pytest

from trainers.common.metric_names import (
    EVAL,
    FINAL,
    MetricName,
    baseline,
    baselines_of,
    best_model_key,
    flatten,
    parse_logged,
    parse_tracked,
    splits_with,
    tracked_numbers,
)

SPLITS = ["validation", "validation_far", "memorisation", "unseen_tasks", "test"]
METRICS = ["loss", "accuracy", "cell_accuracy", "exact_match", "exact_match_fill", "baseline_copy_cell_accuracy"]
NAMES = [MetricName(*parts) for parts in itertools.product((EVAL, FINAL), SPLITS, METRICS)]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.logged)
def test_a_name_that_is_composed_is_parsed_as_it_was(name):
    assert parse_logged(name.logged, SPLITS) == parse_tracked(name.tracked) == name


def test_no_two_metrics_share_a_name():
    assert len({name.logged for name in NAMES}) == len({name.tracked for name in NAMES}) == len(NAMES)


def test_names_are_what_earlier_runs_have():
    name = MetricName(FINAL, "unseen_tasks", "exact_match")
    assert (name.logged, name.tracked) == ("final_unseen_tasks_exact_match", "unseen_tasks_final/exact_match")
    assert MetricName(EVAL, "validation", "loss").tracked == "validation/loss"
    assert baseline("", "exact_match") == "baseline_exact_match"
    assert baseline("copy", "exact_match") == "baseline_copy_exact_match"


@pytest.mark.parametrize("logged", ["loss", "train_loss", "learning_rate", "eval_loss"])
def test_what_belongs_to_no_evaluation_is_of_training_under_its_own_name(logged):
    """The average over a run is no point of the curve of its loss."""
    assert parse_logged(logged, SPLITS) is None
    assert tracked_numbers({logged: 1.5, "step": 3}, SPLITS, "accuracy") == ({f"train/{logged}": 1.5}, {})


def test_mlflow_gets_curves_once_and_what_never_changes_as_parameters():
    flat = {**flatten(METRICS_ALONE, BASELINES, REFERENCES, 0.25), "runtime": 2, "steps_per_second": 9}
    kinds = {}
    for stage in (EVAL, FINAL):
        logged = {MetricName(stage, "test", name).logged: value for name, value in flat.items()}
        kinds[stage] = tracked_numbers(logged, SPLITS, "accuracy")
    metrics, params = kinds[EVAL]
    curves = {f"test/{name}": value for name, value in METRICS_ALONE.items()}
    assert metrics == {**curves, "Primary/test_accuracy": 0.5, "timings/test_runtime": 2}
    assert min(metrics) == "Primary/test_accuracy"  # by which MLflow's page sorts
    assert params == kinds[FINAL][1] and len(params) == 8 and params["test/baseline_copy_accuracy"] == 0.2
    assert kinds[FINAL][0] == {"test_final/accuracy": 0.5}


def test_the_key_of_the_best_model_may_be_given_without_its_stage():
    assert best_model_key("validation_loss") == best_model_key("eval_validation_loss") == "eval_validation_loss"


def test_splits_are_those_that_have_the_metric_at_this_stage():
    logged = {name.logged for name in NAMES if name.split != "test" or name.metric == "loss"}
    logged |= {"final_validation_value_loss", "eval_runtime", "loss"}
    for stage in (EVAL, FINAL):
        assert set(splits_with("exact_match", stage, logged)) == set(SPLITS) - {"test"}
    assert splits_with("haversine_km_mean", EVAL, logged) == splits_with("loss", "other", logged) == []


METRICS_ALONE = {"accuracy": 0.5, "cell_accuracy": 0.6, "accuracy_depth_1": 0.1}
BASELINES = {
    "accuracy": {"": 0.1, "copy": 0.2, "last_step": 0.3},
    "cell_accuracy": {"": 0.4, "copy": 0.5},
    "accuracy_depth_1": {"copy": 0.7},
}
REFERENCES = {"accuracy": {"optimal": 1.0}}


def test_baselines_are_found_again_under_their_metric():
    flat = flatten(METRICS_ALONE, BASELINES, REFERENCES, 0.25)
    assert len(flat) == 3 + 6 + 1 + 1 and flat["entropy_bound"] == 0.25 and flat["reference_optimal_accuracy"] == 1
    tracked = {MetricName(EVAL, "validation", name).tracked: value for name, value in flat.items()}
    others = {MetricName(FINAL, "validation", name).tracked: -1.0 for name in flat}
    params = {name: str(value) for name, value in tracked.items()}
    for metric, expected in BASELINES.items():
        assert baselines_of(f"validation/{metric}", {**others, **tracked}, {}) == expected  # of old
        curves = {f"validation/{name}": 0.0 for name in METRICS_ALONE}
        assert baselines_of(f"validation/{metric}", curves, {**params, "seed": "42"}) == expected
        assert baselines_of(f"validation_final/{metric}", curves, params) == expected
    assert baselines_of("validation/loss", tracked, {}) == baselines_of("train/accuracy", tracked, {}) == {}


def test_without_comparisons_there_are_only_metrics():
    assert flatten(METRICS_ALONE, {}, {}) == METRICS_ALONE
