"""Views of a model, by a view made for the test: flags, files, MLflow record, bad input."""

import csv
import dataclasses
import json
import shlex
import shutil
from dataclasses import dataclass

import pytest
import torch
from matplotlib.figure import Figure

from tests.helpers import assert_one_line, refusal
from trainers import registry
from trainers.base import check_parts
from trainers.commands import probe
from trainers.options import option
from trainers.probes.views import View, ViewResult


@dataclass
class CountOptions:
    """Options of the view that is made for the test."""

    times: int = option(1, "what every number is multiplied by", least=1)


class Count(View):
    """Counts what it is given."""

    options = CountOptions
    summary = "how many there are of everything"

    def look(self, inspected):
        assert not inspected.model.training and inspected.model.dtype == torch.float32
        rows = [{"what": name, "n": self.chosen.times * len(rows)} for name, rows in inspected.data.splits.items()]
        n_untrained = 0 if inspected.first is None else sum(p.numel() for p in inspected.first.parameters())
        weights = sum(p.detach().sum().item() for p in inspected.model.parameters())
        return ViewResult(
            {"n_rows": float(rows[0]["n"]), "n_untrained": float(n_untrained), "weights": weights},
            {"counts": rows},
            {"counts.png": Figure},
            [f"step {inspected.step}: {rows[0]['n']} rows of {inspected.task.name}"],
        )


class Other(Count):
    """A second view."""


@pytest.fixture
def viewed(finished_run, tmp_path, store_uri, prefix, monkeypatch):
    """A copy of the run, with an MLflow run of its own, of a task with two views."""
    from mlflow import MlflowClient

    folder = shutil.copytree(finished_run, tmp_path / "run")
    marker, client = json.loads((folder / "run.json").read_text()), MlflowClient(store_uri)
    experiment = client.get_run(marker["mlflow_run_id"]).info.experiment_id
    marker["mlflow_run_id"] = client.create_run(experiment).info.run_id
    (folder / "run.json").write_text(json.dumps(marker))
    load = registry.load
    views = {"count": f"{__name__}:Count", "other": f"{__name__}:Other"}
    monkeypatch.setattr(registry, "load", lambda name: dataclasses.replace(load(name), views=views))
    return folder


def noted(folder, view="count"):
    return json.loads((folder / "probe" / view / "view.json").read_text())


def history(folder, store_uri, metric):
    from mlflow import MlflowClient

    run_id = json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    return [(point.step, point.value) for point in MlflowClient(store_uri).get_metric_history(run_id, metric)]


def test_a_view_is_written_and_tracked_at_the_step_of_the_weights_the_run_kept(viewed, store_uri, capsys):
    from mlflow import MlflowClient

    assert probe.main([str(viewed), "--count", "--times", "3"]) == 0
    step = json.loads((viewed / "results.json").read_text())["kept_step"]
    found = noted(viewed)
    assert found["options"] == {"times": 3} and found["step"] == step and found["metrics"]["n_rows"] == 120
    assert found["metrics"]["n_untrained"] > 0
    with (viewed / "probe" / "count" / "counts.csv").open(newline="") as file:
        assert next(csv.DictReader(file)) == {"what": "train", "n": "120"}
    run_id = json.loads((viewed / "run.json").read_text())["mlflow_run_id"]
    tracked = {item.path for item in MlflowClient(store_uri).list_artifacts(run_id, "probe/count")}
    assert tracked == {f"probe/count/{name}" for name in ("view.json", "counts.csv", "counts.png")}
    assert history(viewed, store_uri, "probe_count/n_rows") == [(step, 120)]
    assert f"step {step}: 120 rows of location" in capsys.readouterr().out


def test_the_same_again_adds_nothing_and_other_options_add_their_value(viewed, store_uri):
    for times in (1, 1, 2):
        assert probe.main([str(viewed), "--count", "--times", str(times)]) == 0
    assert [value for _, value in history(viewed, store_uri, "probe_count/n_rows")] == [40, 80]


def test_the_weights_are_those_that_are_named(viewed):
    sums = {}
    for step in (0, 2, 4):
        assert probe.main([str(viewed), "--count", "--checkpoint", str(step)]) == 0
        assert noted(viewed)["step"] == step
        sums[step] = noted(viewed)["metrics"]["weights"]
    assert len(set(sums.values())) == 3


def test_a_run_without_its_untrained_model_can_be_looked_at(viewed):
    shutil.rmtree(viewed / "checkpoint-0")
    assert probe.main([str(viewed), "--count"]) == 0
    assert noted(viewed)["metrics"]["n_untrained"] == 0


def test_the_probe_of_a_task_with_views_is_the_probe(viewed, monkeypatch):
    monkeypatch.setattr("trainers.common.figures.save_animation", lambda figures, path: path.write_bytes(b""))
    assert probe.main([str(viewed), "--no_count"]) == 0
    assert [path.name for path in (viewed / "probe").iterdir()] == ["clean"]
    assert (
        not {"count", "other"} & json.loads((viewed / "probe" / "clean" / "probe.json").read_text())["options"].keys()
    )


def test_help_lists_the_views_and_the_flags_of_the_one_that_is_named(viewed, capsys):
    assert probe.main([str(viewed), "--help"]) == 0
    shown = capsys.readouterr().out
    assert Count.summary in shown and all(f"--{name}" in shown for name in ("count", "other", "protocol", "checkpoint"))
    assert probe.main([str(viewed), "--count", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--times" in shown and "--hold_out" not in shown
    assert not (viewed / "probe").exists()


@pytest.mark.parametrize(
    "typed, names",
    [
        ("--count --other", "--count --other one view at a time"),
        ("--count --compare run", "--compare --count"),
        ("--count --protocol original", "protocol"),
        ("--times 3", "times"),
        ("--count --times 0", "--times 0"),
        ("--count --times many", "--times many"),
        ("--count yes please", "please"),
        ("--cuont", "cuont count"),
        ("--checkpoint 2", "--checkpoint 2 --count --other"),
        ("--count --checkpoint all", "--checkpoint all"),
        ("--count --checkpoint 3", "--checkpoint 3 0 2 4"),
    ],
)
def test_what_does_not_go_together_is_answered_in_one_line(typed, names, viewed, capsys):
    capsys.readouterr()
    assert probe.main([str(viewed), *shlex.split(typed)]) == 2
    assert_one_line(capsys.readouterr().err, *names.split())
    assert not (viewed / "probe").exists()


def test_nothing_is_written_where_a_view_fails(viewed, capsys, monkeypatch):
    monkeypatch.setattr(Count, "look", lambda self, inspected: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        probe.main([str(viewed), "--count"])
    assert not (viewed / "probe").exists()


def test_a_view_that_does_not_exist_is_refused_before_anything_is_built():
    task = dataclasses.replace(registry.load("location"), views={"count": f"{__name__}:Cuont"})
    with refusal("TASK.views", "location", "Cuont"):
        check_parts(task)
