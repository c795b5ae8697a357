"""The forgetting study: what is measured of a run, the table, one study in full."""

import csv
import dataclasses
import io
import json
import math
from types import SimpleNamespace

import pytest
import torch
from datasets import load_from_disk
from PIL import Image
from scipy import stats

from tasks.geography import forgetting
from tasks.geography.city_probe import CityProbeOptions
from tasks.geography.forgetting_report import _curve_of
from tasks.geography.forgetting_table import FineTuneCurve, as_markdown, forgetting_figure, means, table
from tests.helpers import assert_named, refusal, same, weights
from trainers.__main__ import main
from trainers.folders.run_folder import RunFolder
from trainers.studies import child_runs

# --- the table


def course(km, real_km=(100.0, 400.0), atlantis_km=(5000.0, 300.0), final_km=310.0):
    """A run whose probe's mean error goes from the first to the last of `km`."""
    probe = [
        {"error_km_mean": value, "r2_lon": 0.9 - i / 10, "r2_lat": 0.8 - i / 10, "cka": 1 - i / 4}
        | {"error_km_mean_Atlantis": 7000.0 - 1000 * i}
        for i, value in enumerate(km)
    ]
    steps = [10 * i for i in range(len(km))]
    middle = [(a, *[a] * (len(km) - 2), b) for a, b in (real_km, atlantis_km)]
    return FineTuneCurve(steps, probe, list(middle[0]), list(middle[1]), final_km)


COURSES = {
    "cross": course([1000.0, 1500.0, 2000.0]),
    "half": course([1000.0, 1500.0]),
    "healed": course([1000.0, 3000.0, 1000.0], real_km=(100.0, 90.0)),
    "worse": course([1000.0, 2500.0]),
    "better": course([1000.0, 900.0]),
}


def test_the_share_recovered_is_1_at_the_base_0_at_the_reference_and_linear_between():
    rows = table(COURSES, "cross")
    found = {row["run"]: row["fall_recovered"] for row in rows}
    assert found == pytest.approx({"cross": 0.0, "half": 0.5, "healed": 1.0, "worse": -0.5, "better": 1.1})
    assert list(found) == list(COURSES)
    other = {row["run"]: row["fall_recovered"] for row in table(COURSES, "half")}
    assert other == pytest.approx({"cross": -1.0, "half": 0.0, "healed": 1.0, "worse": -2.0, "better": 1.2})


def test_a_row_has_the_first_and_the_last_value_of_every_measure():
    (row,) = [row for row in table(COURSES, "cross") if row["run"] == "cross"]
    assert row == {
        "run": "cross",
        "r2_lon_before": 0.9,
        "r2_lon_after": pytest.approx(0.7),
        "r2_lat_before": 0.8,
        "r2_lat_after": pytest.approx(0.6),
        "probe_km_before": 1000.0,
        "probe_km_after": 2000.0,
        "cka_to_base": 0.5,
        "atlantis_decoded_km_before": 7000.0,
        "atlantis_decoded_km_after": 5000.0,
        "real_km_before": 100.0,
        "real_km_after": 400.0,
        "atlantis_km_before": 5000.0,
        "atlantis_km_after": 310.0,
        "fall_recovered": 0.0,
        "real_fall_recovered": 0.0,
    }


def cells(markdown):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]


def test_the_markdown_table_is_rectangular_and_says_the_same():
    heading, rule, *lines = cells(as_markdown(table(COURSES, "cross")))
    assert {len(heading), len(rule), *map(len, lines)} == {10}
    assert [line[-2] for line in lines] == ["0%", "50%", "100%", "-50%", "110%"]
    shown = dict(zip(heading, lines[0], strict=True))
    assert shown["run"] == "cross" and shown["probe error (km)"] == "1,000 → 2,000"
    assert shown["Atlantis pairs (km)"] == "5,000 → 310" and shown["probe R² longitude"] == "0.900 → 0.700"
    assert shown["CKA to base"] == "0.500"


def test_the_share_recovered_of_the_error_on_real_pairs_is_counted_by_itself():
    runs = {"cross": [60.0, 5060.0], "half": [60.0, 2560.0], "all": [60.0, 60.0]}
    courses = {name: dataclasses.replace(course([1000.0, 1500.0]), real_km=km) for name, km in runs.items()}
    assert [row["real_fall_recovered"] for row in table(courses, "cross")] == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize("last_km", [1000.0, 800.0])
def test_where_nothing_fell_nothing_is_recovered_and_no_nan_is_shown(last_km):
    courses = {"cross": course([1000.0, last_km]), "other": course([1000.0, 1200.0])}
    rows = table(courses, "cross")
    assert all(math.isnan(row["fall_recovered"]) for row in rows)
    assert "nan" not in as_markdown(rows)


def test_the_figure_has_a_line_for_every_run_in_every_panel():
    figure = forgetting_figure({name: [found] for name, found in COURSES.items()})
    wanted = (
        lambda found: [probe["error_km_mean"] for probe in found.probe],
        lambda found: found.real_km,
        lambda found: found.atlantis_km,
    )
    for axes, values in zip(figure.axes, wanted, strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        assert COURSES.keys() <= lines.keys() and "step" in axes.get_xlabel() and "km" in axes.get_ylabel()
        assert len({line.get_color() for line in lines.values()}) >= len(COURSES)
        for name, found in COURSES.items():
            assert list(lines[name].get_xdata()) == found.steps and list(lines[name].get_ydata()) == values(found)
    assert [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_label() not in COURSES] == [1000.0]
    figure.savefig(io.BytesIO(), dpi=40)


def test_the_figure_of_a_run_that_becomes_perfect_can_be_drawn_too():
    figure = forgetting_figure({"cross": [course([1000.0, 1000.0], real_km=(9.0, 0.0), atlantis_km=(5.0, 0.0))]})
    figure.savefig(io.BytesIO(), dpi=40)


def test_means_over_seeds_have_intervals_and_differences_in_pairs():
    """Every seed has a base of its own; the reference of one seed failed."""
    ends = {1: (2000.0, 1500.0), 2: (2400.0, 1700.0), 3: (None, 1600.0)}
    seeds = {
        seed: {name: course([1000.0, km]) for name, km in zip(("cross", "half"), pair, strict=True) if km}
        for seed, pair in ends.items()
    }
    cross, half = means({seed: table(courses, "cross") for seed, courses in seeds.items()}, "cross")
    assert (cross["seeds"], half["seeds"]) == (2, 3)
    found = stats.ttest_1samp([1500.0, 1700.0, 1600.0], 0).confidence_interval(0.95)
    assert (half["probe_km_after"], half["probe_km_after_from"], half["probe_km_after_to"]) == pytest.approx(
        (1600.0, *found)
    )
    found = stats.ttest_rel([1500.0, 1700.0], [2000.0, 2400.0]).confidence_interval(0.95)
    assert [half[f"probe_km_after_difference{part}"] for part in ("_seeds", "_from", "_to")] == pytest.approx(
        [2, *found]
    )
    assert half["fall_recovered_seeds"] == 2 and cross["probe_km_after_difference"] is None
    shown = as_markdown([cross, half], "cross")
    assert (
        "1,600 [1,352, 1,848]" in shown
        and "probe error (km), after: half minus cross, same seeds (n = 2): -600" in shown
    )
    assert "nan" not in shown and len({len(line) for line in cells(shown.partition("\n\n")[0])}) == 1


def test_the_figure_of_several_seeds_has_a_mean_and_a_band_where_all_have_a_checkpoint():
    seeds = [course([1000.0, 1500.0, 2000.0]), dataclasses.replace(course([1000.0, 3000.0]), steps=[0, 20])]
    panel = forgetting_figure({"cross": seeds}).axes[0]
    (mean,) = [line for line in panel.lines if line.get_label() == "cross"]
    assert list(mean.get_xdata()) == [0, 20] and list(mean.get_ydata()) == [1000.0, 2500.0]
    assert len(panel.collections) == 1


# --- what is measured of a run


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The course of a run of checkpoints at steps 0 and 5, without a model: only its files are read."""
    report = "tasks.geography.forgetting_report"
    monkeypatch.setattr(f"{report}._real_rows", lambda base: None)
    monkeypatch.setattr(f"{report}._error_km", lambda path, rows: 10.0 if path.name == "checkpoint-0" else 20.0)
    readings = {step: SimpleNamespace(metrics={"error_km_mean": 100.0 + step}) for step in (0, 5)}
    asked = CityProbeOptions(read="id")
    monkeypatch.setattr(
        f"{report}.probe_run", lambda run, options, compare: (run, readings if options is asked else {})
    )

    def made(evaluated, results):
        history = [{"step": step, "eval_validation_abs_error_km_mean": 1000.0 + step} for step in evaluated]
        for step in (0, 5):
            (tmp_path / f"checkpoint-{step}").mkdir()
            state = {"global_step": step, "log_history": history}
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
        (tmp_path / "results.json").write_text(json.dumps(results))
        return _curve_of(RunFolder(tmp_path), RunFolder(tmp_path / "base"), asked)

    return made


def test_a_course_has_what_was_measured_at_every_checkpoint(measured):
    found = measured([0, 3, 5], {"final_test_abs_error_km_mean": 7.0})
    probe = [{"error_km_mean": 100.0}, {"error_km_mean": 105.0}]
    assert found == FineTuneCurve([0, 5], probe, [10.0, 20.0], [1000.0, 1005.0], 7.0)


def test_a_checkpoint_that_was_not_evaluated_is_refused(measured):
    with refusal(5):
        measured([0, 3], {"final_test_abs_error_km_mean": 7.0})


@pytest.mark.parametrize("results", ["{}", '{"final_test_haversine_km_mean": 1}', "{", None])
def test_a_run_without_errors_on_test_pairs_is_refused(results, tmp_path):
    """As `n_test: 0` makes it, a task that has other metrics, or a run that was not finished."""
    if results is not None:
        (tmp_path / "results.json").write_text(results)
    with refusal("results.json"):
        forgetting._check_tested(RunFolder(tmp_path))


# --- one study in full

MODEL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,  # of which the probe reads the second
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "per_device_train_batch_size": 32,
    "max_steps": 20,
    "eval_steps": 10,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
    "n_cities": 60,
    "threads": 1,
    "use_cpu": True,
    "logging_steps": 5,
}


def settings(folder):
    return json.loads((folder / "settings.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_study_from_base_to_table_and_once_more_without_training(tmp_path, store_uri, monkeypatch, capfd):
    import yaml
    from mlflow import MlflowClient

    outputs = tmp_path / "outputs"
    outputs.mkdir()
    monkeypatch.setenv("EXP_DIR_PREFIX", str(outputs))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    sizes = {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}
    configs = {
        "base": {**MODEL, "task": "distance", "n_train": 300, "n_val": 20, "n_test": 50, "evals_per_epoch": None},
        "cross": {n: v for n, v in MODEL.items() if n not in sizes}
        | {"task": "atlantis_cross", "n_atlantis": 10, "n_train": 100, "n_val": 20, "n_test": 50},
    }
    for name, config in configs.items():
        content = {n: v for n, v in config.items() if v is not None}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    cross = str(tmp_path / "cross.yaml")
    study = {
        "report": "forgetting",
        "base": {"config": str(tmp_path / "base.yaml")},
        "reference": "cross",
        "runs": {
            "cross": {"config": cross},
            "replay": {"config": cross, "replay_ratio": 0.5},
            "frozen": {"config": cross, "freeze": "embed_tokens,layers.0"},
            "l2": {"config": cross, "l2_to_start": 50},
        },
    }
    path = tmp_path / "little.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")

    assert main(["study", str(path)]) == 0, capfd.readouterr().err
    folder = outputs / "studies" / "little"
    base, runs = folder / "base", {name: folder / name for name in study["runs"]}

    # every run starts from the base, and does what its flags say
    for run in runs.values():
        assert same(weights(run / "checkpoint-0"), weights(base))
        assert not same(weights(run / "checkpoint-20"), weights(base))
    frozen = {n for n in weights(base) if "embed_tokens" in n or ".layers.0." in n}
    ended = weights(runs["frozen"] / "checkpoint-20")
    assert frozen == {name for name, value in weights(base).items() if torch.equal(value, ended[name])}

    def way(name):
        ended = weights(runs[name] / "checkpoint-20")
        return sum(float((ended[n] - value).square().sum()) for n, value in weights(base).items())

    assert way("l2") < way("cross") / 2

    # replay is of rows that the base was trained on
    base_rows = {row["prompt"]: row["answer"] for row in load_from_disk(f"{settings(base)['dataset_folder']}/train")}
    rows = load_from_disk(f"{settings(runs['replay'])['dataset_folder']}/train").to_list()
    replayed = [row for row in rows if row["kind"] == "replay"]
    assert (len(replayed), len(rows)) == (100, 200)
    assert all(base_rows[row["prompt"]] == row["answer"] for row in replayed)
    assert "replay" not in load_from_disk(f"{settings(runs['cross'])['dataset_folder']}/train")["kind"]

    # the table and the figure
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = {row.pop("run"): {n: float(v) for n, v in row.items()} for row in csv.DictReader(file)}
    assert lines.keys() == runs.keys()
    for measure in ("r2_lon", "r2_lat", "probe_km", "atlantis_decoded_km", "real_km", "atlantis_km"):
        assert len({lines[name][f"{measure}_before"] for name in ("cross", "frozen", "l2")}) == 1
        assert all(math.isfinite(row[f"{measure}_after"]) for row in lines.values())
    base_results = json.loads((base / "results.json").read_text())
    results = {name: json.loads((run / "results.json").read_text()) for name, run in runs.items()}
    for name, row in lines.items():
        assert row["real_km_before"] == pytest.approx(base_results["final_test_abs_error_km_mean"])  # 50 pairs, all
        assert row["atlantis_km_after"] == pytest.approx(results[name]["final_test_abs_error_km_mean"])
        assert 0 < row["cka_to_base"] < 1
    markdown = (folder / "table.md").read_text(encoding="utf-8")
    assert [line[0] for line in cells(markdown)[2:]] == list(runs)
    with Image.open(folder / "forgetting.png") as image:
        assert image.width > 1000 and len(image.getcolors(1 << 24)) > 10
    assert all((run / "probe" / "clean-to_little_base" / "probe_map.gif").is_file() for run in runs.values())

    # everything is tracked, children under their parent
    client = MlflowClient(store_uri)
    ids = {name: json.loads((run / "run.json").read_text())["mlflow_run_id"] for name, run in runs.items()}
    base_id = json.loads((base / "run.json").read_text())["mlflow_run_id"]
    for name, run_id in ids.items():
        found = client.get_run(run_id)
        assert found.info.status == "FINISHED" and found.data.tags["parent_run_id"] == base_id
        steps = [point.step for point in client.get_metric_history(run_id, "probe_clean/error_km_mean")]
        assert steps == [0, 10, 20], name
    assert client.get_run(ids["frozen"]).data.params["freeze"] == "embed_tokens,layers.0"
    assert float(client.get_run(ids["l2"]).data.params["l2_to_start"]) == 50
    record = client.get_run(json.loads((folder / "study.json").read_text())["mlflow_run_id"])
    assert client.get_run(base_id).data.tags["mlflow.parentRunId"] == record.info.run_id
    assert {client.get_run(run_id).data.tags["mlflow.parentRunId"] for run_id in ids.values()} == {record.info.run_id}
    assert record.info.status == "FINISHED" and record.data.tags["base_run_id"] == base_id
    assert {name: record.data.tags[f"run.{name}"] for name in runs} == ids
    assert {"table.md", "table.csv", "forgetting.png"} <= {
        item.path for item in client.list_artifacts(record.info.run_id)
    }

    # once more: nothing is trained, and the same comes out
    monkeypatch.setattr(child_runs, "subprocess", None)
    table_csv = (folder / "table.csv").read_bytes()
    capfd.readouterr()
    assert main(["study", str(path)]) == 0
    assert capfd.readouterr().out.count("finished already: ") == 5
    assert (folder / "table.csv").read_bytes() == table_csv

    # other flags are another study
    path.write_text(yaml.safe_dump(study, sort_keys=False).replace("l2_to_start: 50", "l2_to_start: 60"))
    assert main(["study", str(path)]) == 2
    assert_named(capfd.readouterr().err, "l2_to_start", "--output_dir")


def test_a_run_without_invented_cities_has_a_dash_where_they_would_stand():
    plain = course([1000.0, 1500.0])
    probes = [{n: v for n, v in metrics.items() if "Atlantis" not in n} for metrics in plain.probe]
    text = as_markdown(table({"cross": dataclasses.replace(plain, probe=probes)}, "cross"))
    assert "| - → - |" in text and "nan" not in text
