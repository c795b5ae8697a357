"""Comparing tracked runs: what is found, the table, the figure, and what cannot be compared."""

import csv
import dataclasses
import itertools
import json

import mlflow
import pytest
from mlflow import MlflowClient
from scipy import stats

from tests.helpers import assert_one_line, refusal
from trainers.commands import compare
from trainers.tracking import queries
from trainers.tracking.comparison import (
    Measure,
    MetricCurve,
    curve_of,
    differences,
    figure_of,
    labels,
    measure_of,
    rows_of,
)
from trainers.tracking.mlflow_store import open_store

METRIC = "memorisation/haversine_km_mean"
NUMBERS = itertools.count()


@pytest.fixture
def record(prefix):
    """Make records of runs in an experiment of their own; gives the function, and the query that finds them."""
    experiment = open_store(f"compare-{next(NUMBERS)}")
    client = MlflowClient()

    def made(name, values, params=None, metric=METRIC, task="location", status="FINISHED", **tags):
        run_id = client.create_run(experiment, run_name=name).info.run_id
        for key, value in {"task": task, "output_dir": f"/somewhere/{name}", **tags}.items():
            client.set_tag(run_id, key, value)
        for key, value in (params or {}).items():
            client.log_param(run_id, key, value)
        for step, value in values:
            client.log_metric(run_id, metric, value, step=step)
        client.set_terminated(run_id, status)
        return client.get_run(run_id)

    made.client = client
    made.query = f"attributes.experiment_id = '{experiment}'"
    made.all = lambda: client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    return made


def written(prefix):
    (path,) = (prefix / "compare").glob("*/compare.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return path.parent, list(csv.DictReader(file))


# --- the command


def test_runs_become_a_table_and_a_figure_the_best_first(record, prefix, capsys):
    rates = {name: {"learning_rate": rate, "seed": "1"} for name, rate in (("slow", "0.001"), ("fast", "0.01"))}
    record("slow", [(0, 9000.0), (10, 800.0)], rates["slow"], test="table")
    record("fast", [(0, 9000.0), (5, 70.5), (10, 90.0)], rates["fast"], status="FAILED", test="table")
    record("none", [], {"learning_rate": "0.1", "n_cities": "3"}, status="KILLED", test="table")
    record("other", [(0, 1.0)], {"learning_rate": "7"}, test="another")
    query = "tags.task = 'location' and tags.test = 'table'"
    argv = ["--query", query, "--output_dir", str(prefix / "compare" / "here")]
    assert compare.main(argv) == 0
    folder, rows = written(prefix)
    assert folder == prefix / "compare" / "here" and (folder / "compare.png").is_file()
    assert [row["run"] for row in rows] == ["fast", "slow", "none"]
    assert [row["status"] for row in rows] == ["FAILED", "FINISHED", "KILLED"]
    assert [row["learning_rate"] for row in rows] == ["0.01", "0.001", "0.1"]
    assert "seed" not in rows[0] and "n_cities" not in rows[0]  # the same; only of a run that was not measured
    assert (rows[0]["best"], rows[0]["at step"], rows[0]["last"], rows[0]["last step"]) == ("70.5", "5", "90.0", "10")
    assert (rows[2]["best"], rows[2]["last"]) == ("", "") and rows[0]["folder"] == "/somewhere/fast"
    shown = capsys.readouterr().out
    assert METRIC in shown and shown.index("fast") < shown.index("slow") < shown.index("none")


def test_the_same_command_rewrites_its_own_output_and_another_query_has_its_own(record, prefix, capsys):
    record("a", [(0, 5.0)])
    assert compare.main(["--query", record.query + " and params.x != 'y'"]) == 2  # nothing has the parameter
    argv = ["--query", "attributes.run_name = 'a'", "--metric", METRIC]
    assert compare.main(argv) == 0
    folder, _ = written(prefix)
    first = (folder / "compare.csv").read_bytes()
    assert compare.main(argv) == 0
    assert written(prefix)[0] == folder and (folder / "compare.csv").read_bytes() == first
    assert compare.main([*argv, "--limit", "7"]) == 0
    assert len([path for path in (prefix / "compare").iterdir() if path.is_dir()]) == 2


def test_a_real_run_is_compared_with_its_trivial_baseline(finished_run, prefix, capsys):
    run_id = json.loads((finished_run / "run.json").read_text())["mlflow_run_id"]
    assert compare.main(["--query", f"attributes.run_id = '{run_id}'"]) == 0
    _, (row,) = written(prefix)
    history = json.loads((finished_run / "trainer_state.json").read_text())["log_history"]
    seen = {e["step"]: e["eval_memorisation_haversine_km_mean"] for e in history if "eval_memorisation_loss" in e}
    assert float(row["best"]) == min(seen.values()) and seen[int(row["at step"])] == min(seen.values())
    assert float(row["last"]) == seen[4] and row["last step"] == "4" and row["folder"] == str(finished_run)
    assert 4000 < float(row["baseline"]) < 10_000
    assert METRIC in capsys.readouterr().out  # found without being named


def test_the_newest_runs_are_taken_and_it_is_said_that_there_are_more(record, prefix, capsys):
    for number in range(3):
        record(f"run-{number}", [(0, number)], tag="limit")
    argv = ["--query", "tags.tag = 'limit'", "--limit", "2"]
    assert compare.main(argv) == 0
    assert "the newest 2 runs of more" in capsys.readouterr().out
    assert {row["run"] for row in written(prefix)[1]} == {"run-1", "run-2"}


def test_the_record_above_a_sweeps_runs_is_not_one_of_them(record, prefix):
    record("sweep", [(0, 1.0)], metric="best/haversine_km_mean", sweep="grid", tag="swept")
    record("child", [(0, 5.0)], tag="swept")
    assert compare.main(["--query", "tags.tag = 'swept'"]) == 0
    assert [row["run"] for row in written(prefix)[1]] == ["child"]


def test_all_pages_of_a_search_are_read(record, prefix, monkeypatch):
    for number in range(5):
        record(f"run-{number}", [], tag="pages")
    monkeypatch.setattr("mlflow.tracking.fluent.NUM_RUNS_PER_PAGE_PANDAS", 2)
    assert len(queries.find("tags.tag = 'pages'")) == 5


@pytest.mark.parametrize(
    "argv, names",
    [
        (["--query", "tags.task = location"], "--query tags.task = location"),
        (["--query", "(("], "--query (("),
        (["--query", "metrics.x > 'a'"], "--query metrics.x"),
        (["--query", "tags.task = 'nowhere'"], "--query nowhere"),
        (["--query", "tags.task", "=", "'x'"], "'x'"),
        (["--metric", "memorisation/haversine_km_men"], "memorisation/haversine_km_men memorisation/haversine_km_mean"),
        (["--metric", "memorisation/parse_rate"], "--greater_is_better memorisation/parse_rate"),
        (["--limit", "0"], "--limit 0"),
        (["--output_dir", "/tmp"], "--output_dir /tmp EXP_DIR_PREFIX"),
        (["--outputdir", "x"], "outputdir"),
    ],
)
def test_what_cannot_be_compared_is_answered_in_one_line(argv, names, finished_run, prefix, capsys):
    of_it = [] if "--query" in argv else ["--query", "attributes.run_name = 'location-001'"]
    assert compare.main([*argv, *of_it]) == 2
    assert_one_line(capsys.readouterr().err, *names.split())
    assert not (prefix / "compare").exists()


def test_a_folder_of_something_else_is_left_alone(finished_run, prefix, capsys):
    other = prefix / "study"
    other.mkdir()
    (other / "compare.csv").write_text("another command's")
    assert compare.main(["--query", "attributes.run_name = 'location-001'", "--output_dir", str(other)]) == 2
    assert_one_line(capsys.readouterr().err, other)
    assert (other / "compare.csv").read_text() == "another command's" and len(list(other.iterdir())) == 1


def test_help_names_every_flag(capsys):
    assert compare.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"--{field.name}" in shown for field in dataclasses.fields(compare.CompareOptions))


def test_the_table_fits_a_terminal_and_the_file_has_all(record, prefix, capsys):
    for number in range(3):
        params = {f"parameter_with_a_long_name_{i}": f"{number} and a long value too {i}" for i in range(12)}
        record(f"a_run_with_a_very_long_name_{number}", [(0, 9.0), (10, 1.25 + number)], params, tag="wide")
    assert compare.main(["--query", "tags.tag = 'wide'"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in shown if not line.startswith("written")) <= 100
    assert "they also differ in" in shown[5] and "status" not in shown[1] and "/somewhere" not in "".join(shown)
    _, rows = written(prefix)
    assert len([name for name in rows[0] if name.startswith("parameter_")]) == 12
    assert rows[0]["folder"].endswith("name_0") and rows[0]["status"] == "FINISHED"


def test_runs_that_differ_by_their_seed_are_one_mean_with_an_interval(record, prefix, capsys):
    for rate, values in (("0.1", (4.0, 6.0, 8.0)), ("0.2", (3.0,)), ("0.3", (1.0, 2.0))):
        for seed, value in enumerate(values):
            status = "FAILED" if rate == "0.3" and seed == 1 else "FINISHED"
            record(
                f"{rate}-{seed}", [(5, value)], {"learning_rate": rate, "seed": str(seed)}, tag="seeds", status=status
            )
    record("again", [(5, 8.0)], {"learning_rate": "0.1", "seed": "2"}, tag="seeds")  # a seed twice counts once
    assert compare.main(["--query", "tags.tag = 'seeds'"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "mean of" in line]
    assert said == ["learning_rate=0.1: best 6 (mean of 3 seeds; 95 %: 1.032 to 10.97)"]  # 6 ± 4.303 · 2 / √3
    rows = {row["run"]: row for row in written(prefix)[1]}
    assert (rows["0.1-0"]["seeds"], rows["0.1-0"]["mean"], rows["0.2-0"]["seeds"]) == ("3", "6.0", "1")
    assert rows["0.3-0"]["seeds"] == "1" and float(rows["0.1-1"]["95 % to"]) == pytest.approx(6 + 4.30265 * 2 / 3**0.5)


def test_groups_that_share_seeds_are_compared_in_pairs_and_drawn_with_a_band(record, prefix, capsys):
    for rate, values in (("0.1", (4.0, 6.0, 9.0)), ("0.2", (5.0, 6.5, 11.0, 1.0)), ("0.3", (20.0,))):
        for seed, value in enumerate(values):
            record(f"{rate}-{seed}", [(0, 50.0), (5, value)], {"learning_rate": rate, "seed": str(seed)}, tag="pairs")
    assert compare.main(["--query", "tags.tag = 'pairs'"]) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "minus" in line]
    low, high = stats.ttest_rel([4.0, 6.0, 9.0], [5.0, 6.5, 11.0]).confidence_interval(0.95)
    assert "learning_rate=0.1 minus learning_rate=0.2, same seeds (n = 3): " in said  # 0.2 has the lower mean
    assert said.endswith(f"{-3.5 / 3:+.4g} [{low:+.4g}, {high:+.4g}]")
    runs = [run for run in record.all() if run.data.tags.get("tag") == "pairs"]
    measure = measure_of(runs, None, None)
    (axes,) = figure_of([curve_of(run, measure) for run in runs], measure).axes
    assert len(axes.lines) == 8 and len(axes.collections) == 2


def test_the_legend_is_short_and_has_one_line_for_all_seeds(record):
    for number, rate in enumerate(("1", "1", "2")):
        record(
            f"run-{number}",
            [(0, 50.0)],
            {"rate": rate, "seed": str(number), **({"x" * 50: "1"} if number == 2 else {})},
        )
    runs = record.all()
    measure = measure_of(runs, None, None)
    legend = figure_of([curve_of(run, measure) for run in runs], measure).legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == 2 and texts[1] == "run-2" and "(2 runs)" in texts[0] and max(map(len, texts)) <= 50


# --- what is compared


def test_the_metric_is_the_primary_one_of_the_first_evaluated_split(record):
    record("a", [(0, 5.0)])
    record("a", [(0, 5.0)], metric="memorisation_final/haversine_km_mean")
    assert measure_of(record.all(), None, None).name == METRIC
    for name in ("b", "c"):
        run = record(name, [(0, 5.0)], task="arc", metric="unseen_tasks/exact_match")
        record.client.log_metric(run.info.run_id, "validation/exact_match", 0.5)
    runs = [run for run in record.all() if run.data.tags["task"] == "arc"]
    measure = measure_of(runs, None, None)
    assert measure.name == "validation/exact_match" and measure.greater_is_better
    with refusal("arc", "location", "--metric"):
        measure_of(record.all(), None, None)


def test_runs_without_a_metric_in_common_need_one(record):
    record("a", [(0, 5.0)])
    record("b", [(0, 5.0)], metric="validation/haversine_km_mean")
    with refusal("memorisation/haversine_km_mean", "validation/haversine_km_mean"):
        measure_of(record.all(), None, None)


def test_a_loss_is_better_when_it_is_lower_and_others_as_it_is_said(record):
    runs = [record("a", [(0, 5.0)], metric="memorisation/loss"), record("b", [(0, 5.0)], metric="memorisation/share")]
    assert not measure_of(runs, "memorisation/loss", None).greater_is_better
    assert measure_of(runs, "memorisation/share", True).greater_is_better
    with refusal("--greater_is_better", "memorisation/share"):
        measure_of(runs, "memorisation/share", None)


@pytest.mark.parametrize("greater, best", [(False, (3, 1.0)), (True, (5, 7.0))])
def test_the_best_point_is_the_earliest_of_equal_ones_and_no_number_is_never_best(greater, best):
    values = {0: float("nan"), 3: 1.0, 4: 1.0, 5: 7.0, 6: 7.0}
    assert MetricCurve(None, values).best(greater) == best
    assert MetricCurve(None, {0: float("nan")}).best(greater) == MetricCurve(None, {}).best(greater) == (None, None)


def test_a_step_that_was_logged_twice_counts_once(record):
    run = record("a", [(4, 3.0), (2, 5.0), (0, 9.0)])
    record.client.log_metric(run.info.run_id, METRIC, 1.0, timestamp=2**41, step=2)  # newer
    record.client.log_metric(run.info.run_id, METRIC, 7.0, timestamp=1, step=4)  # older
    course = curve_of(record.client.get_run(run.info.run_id), Measure(METRIC, False, None))
    assert list(course.values.items()) == [(0, 9.0), (2, 1.0), (4, 3.0)]


def test_labels_are_what_differs_and_tell_runs_apart(record):
    runs = [
        record("a", [], {"rate": "1", "seed": "1"}),
        record("b", [], {"rate": "2", "seed": "1"}),
        record("c", [], {"rate": "2", "seed": "1"}),
        record("d", [], {"rate": "1", "seed": "1"}, **{"drift.rate": "3"}),  # resumed with another value
    ]
    assert differences(runs) == ["rate"]
    assert labels(runs) == ["rate=1", "b rate=2", "c rate=2", "rate=3"]
    assert labels(runs[:1]) == ["a"] and labels(runs[1:3]) == ["b", "c"]
    for name, label in (("rate=1,seed=2", "rate=1"), ("ad-seed-3", "ad"), ("seed-1", "seed-1")):
        assert labels([record(name, [])]) == [label]


def test_the_figure_has_one_line_a_run_and_the_baseline_they_share(record):
    for name, rate in (("a", "1"), ("b", "$2$")):
        run = record(name, [(0, 50_000.0), (10, 30.0)], {"rate": rate})
        record.client.log_metric(run.info.run_id, "memorisation/baseline_haversine_km_mean", 6153.0)
    runs = record.all()
    measure = measure_of(runs, None, None)
    figure = figure_of([curve_of(run, measure) for run in runs], measure)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["rate=1", r"rate=\$2\$", "trivial baseline"]
    assert list(axes.lines[0].get_xdata()) == [0, 10]
    assert axes.lines[0].get_ydata()[0] == measure.spec.limits[1] and axes.get_yscale() == "log"
    rows = rows_of([curve_of(run, measure) for run in runs], measure)
    assert [row["baseline"] for row in rows] == [6153.0, 6153.0]


def test_nothing_is_changed_in_the_store(record, prefix):
    run = record("a", [(0, 5.0)], tag="unchanged")
    experiments = {e.name for e in mlflow.search_experiments()}
    assert compare.main(["--query", "tags.tag = 'unchanged'"]) == 0
    again = record.client.get_run(run.info.run_id)
    assert again.to_dictionary() == run.to_dictionary() and {e.name for e in mlflow.search_experiments()} == experiments
