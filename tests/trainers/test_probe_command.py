"""The command that probes a run's checkpoints, and the option that probes while training: files, MLflow, bad input."""

import csv
import dataclasses
import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.helpers import assert_one_line
from tokenization.characters import BOS_ID, EOS_ID, PAD_ID
from trainers import registry, run
from trainers.commands import probe
from trainers.common.figures import save_figure
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.probes.checkpoints import load_checkpoint
from trainers.probes.probe import extract_hidden_states, linear_cka

STEPS = [0, 2, 4]
FILES = {"probe.csv", "probe.json", "probe_curves.png", "probe_map.png", "probe_map.gif", "probe_map.html"}


def copied(finished_run, folder, store_uri):
    """A copy of the run with an MLflow run of its own, so that the session's stays as it is."""
    from mlflow import MlflowClient

    shutil.copytree(finished_run, folder)
    marker = json.loads((folder / "run.json").read_text())
    client = MlflowClient(store_uri)
    experiment = client.get_run(marker["mlflow_run_id"]).info.experiment_id
    marker["mlflow_run_id"] = client.create_run(experiment).info.run_id
    (folder / "run.json").write_text(json.dumps(marker))
    return folder


@pytest.fixture(scope="module")
def probed(finished_run, store_uri, tmp_path_factory):
    """A run after the command, with real pictures."""
    folder = copied(finished_run, tmp_path_factory.mktemp("probed") / "run", store_uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        assert probe.main(["--run", str(folder)]) == 0
    return folder


@pytest.fixture
def fresh(finished_run, tmp_path, store_uri, prefix, monkeypatch):
    """A run that was not probed yet; pictures are left out."""
    monkeypatch.setattr("trainers.common.figures.save_animation", lambda figures, path: path.write_bytes(b""))
    return copied(finished_run, tmp_path / "run", store_uri)


def table(folder, label="clean"):
    with (folder / "probe" / label / "probe.csv").open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def tracked(folder, store_uri):
    """Metric -> step -> value; a step of a probe that was tracked twice is an error."""
    from mlflow import MlflowClient

    client, run_id = MlflowClient(store_uri), json.loads((folder / "run.json").read_text())["mlflow_run_id"]
    found = {}
    for name in client.get_run(run_id).data.metrics:
        points = client.get_metric_history(run_id, name)
        found[name] = {point.step: point.value for point in points}
        assert len(found[name]) == len(points) or not name.startswith("probe_"), name
    return found


# --- what the command leaves behind


def test_the_command_writes_table_curves_map_and_animation(probed):
    folder = probed / "probe" / "clean"
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("probe_map.png", "probe_curves.png"):
        with Image.open(folder / name) as image:
            assert image.width > 800 and len(image.getcolors(1 << 24)) > 10
    assert json.loads((folder / "probe.json").read_text())["options"]["protocol"] == "clean"


def test_the_animation_has_a_frame_for_every_checkpoint_and_plays_for_ever(probed):
    with Image.open(probed / "probe" / "clean" / "probe_map.gif") as animation:
        assert animation.n_frames == len(STEPS) and animation.info["loop"] == 0
        frames = []
        for number in range(animation.n_frames):
            animation.seek(number)
            frames.append((np.asarray(animation.convert("RGB")), animation.info["duration"]))
    assert [duration for _, duration in frames] == [500, 500, 3000]
    assert not np.array_equal(frames[0][0], frames[1][0]) and not np.array_equal(frames[1][0], frames[2][0])


def test_the_table_has_a_row_for_every_checkpoint_with_all_metrics(probed):
    rows = table(probed)
    assert [row["step"] for row in rows] == STEPS
    needed = {"r2_lon", "r2_lat", "train_r2_lon", "error_km_mean", "error_km_median", "baseline_error_km_mean", "cka"}
    assert needed | {"error_km_mean_Africa"} <= rows[0].keys()
    assert np.isfinite([list(row.values()) for row in rows]).all()
    assert (
        len({row["error_km_mean"] for row in rows}) == 3 and len({row["baseline_error_km_mean"] for row in rows}) == 1
    )


def test_cka_is_to_the_last_checkpoint(probed):
    found = [row["cka"] for row in table(probed)]
    assert found[-1] == pytest.approx(1, abs=1e-6) and 0 < found[0] < found[1] < 0.99999


def test_the_metrics_of_the_table_are_in_mlflow_at_their_steps(probed, store_uri):
    rows, metrics = table(probed), tracked(probed, store_uri)
    assert metrics.keys() == {f"probe_clean/{name}" for name in rows[0] if name != "step"}
    for name, points in metrics.items():
        assert points == pytest.approx({row["step"]: row[name.removeprefix("probe_clean/")] for row in rows})


def test_the_files_are_in_mlflow(probed, store_uri):
    from mlflow import MlflowClient

    run_id = json.loads((probed / "run.json").read_text())["mlflow_run_id"]
    found = {item.path for item in MlflowClient(store_uri).list_artifacts(run_id, "probe/clean")}
    assert found == {f"probe/clean/{name}" for name in FILES}


def test_the_run_itself_stays_as_it_was(probed, finished_run):
    for path in finished_run.rglob("*"):
        if path.is_file() and path.name != "run.json":
            assert (probed / path.relative_to(finished_run)).read_bytes() == path.read_bytes()
    assert not (finished_run / "probe").exists()


# --- the command again, and otherwise


def test_twice_is_as_good_as_once_and_other_choices_lie_beside(fresh, store_uri, capsys):
    assert probe.main(["--run", str(fresh)]) == 0
    once = tracked(fresh, store_uri)
    rows = table(fresh)
    assert probe.main(["--run", str(fresh)]) == 0
    assert tracked(fresh, store_uri) == once and table(fresh) == rows
    assert "probe at step 4" in capsys.readouterr().out
    assert probe.main(["--run", str(fresh), "--hold_out", "Asia", "--blocks", "1"]) == 0
    (label,) = {path.name for path in (fresh / "probe").iterdir()} - {"clean"}
    assert table(fresh) == rows and table(fresh, label) != rows
    assert {name.partition("/")[0] for name in tracked(fresh, store_uri)} == {"probe_clean", f"probe_{label}"}


def test_a_run_of_more_steps_since_then_gets_its_new_points_only(fresh, store_uri):
    late = fresh / "checkpoint-4"
    late.rename(fresh / ".aside")
    assert probe.main(["--run", str(fresh)]) == 0
    before = tracked(fresh, store_uri)["probe_clean/r2_lat"]
    (fresh / ".aside").rename(late)
    assert probe.main(["--run", str(fresh)]) == 0
    after = tracked(fresh, store_uri)["probe_clean/r2_lat"]
    assert sorted(before) == [0, 2] and sorted(after) == STEPS and before.items() <= after.items()


def test_cka_may_be_to_another_model(fresh):
    assert probe.main(["--run", str(fresh), "--compare", str(fresh / "checkpoint-0")]) == 0
    found = [row["cka"] for row in table(fresh, f"clean-to_{fresh.name}_checkpoint-0")]
    assert found[0] == pytest.approx(1, abs=1e-6) and found[1] > found[2] < 0.99999


def test_cka_is_of_the_states_that_are_probed(fresh):
    """All numbers that are read, blocks and tokens alike, of all cities of the world."""
    assert probe.main(["--run", str(fresh), "--protocol", "original", "--blocks", "0,1"]) == 0
    prompts = [f"loc(c_{number})=" for number in range(40)]
    first, last = (
        extract_hidden_states(load_checkpoint(fresh / f"checkpoint-{step}"), prompts, [0, 1], 3).reshape(40, -1)
        for step in (0, 4)
    )
    (label,) = [path.name for path in (fresh / "probe").iterdir()]
    assert table(fresh, label)[0]["cka"] == pytest.approx(linear_cka(first, last), rel=1e-5)


def test_comparing_with_a_deeper_model_does_not_change_what_is_probed(fresh, probed, tmp_path):
    sizes = DecoderOptions(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
    special_ids = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    build_decoder(sizes, 44, 32, special_ids).save_pretrained(tmp_path / "deep")
    assert probe.main(["--run", str(fresh), "--compare", str(tmp_path / "deep")]) == 0
    expected, found = table(probed), table(fresh, f"clean-to_{tmp_path.name}_deep")
    assert [row.pop("cka") for row in found] != [row.pop("cka") for row in expected]
    assert found == expected


@pytest.mark.parametrize("marker_id", [None, "0" * 32], ids=["never tracked", "of another store"])
def test_a_run_that_is_not_in_the_store_is_probed_and_this_is_said(marker_id, fresh, capsys):
    marker = json.loads((fresh / "run.json").read_text()) | {"mlflow_run_id": marker_id}
    (fresh / "run.json").write_text(json.dumps(marker))
    assert probe.main(["--run", str(fresh)]) == 0
    assert "not tracked: " in capsys.readouterr().out and len(table(fresh)) == 3


def test_help_names_the_flags(fresh, capsys):
    assert probe.main(["--help"]) == 0
    assert "--compare" in capsys.readouterr().out
    assert probe.main(["--run", str(fresh), "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in ("run", "compare", "protocol", "hold_out", "atlantis", "probe_seed"))
    assert not (fresh / "probe").exists()


# --- bad input


def refused(argv, names, capsys):
    capsys.readouterr()
    assert probe.main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names.split())


@pytest.mark.parametrize(
    "typed, names",
    [
        ("", "--run"),
        ("--protocol original", "--run"),
        ("--run", "--run"),
        ("--run nowhere", "nowhere there is no folder"),
        ("--run .", "run.json"),
        ("--run RUN/run.json", "RUN/run.json"),
        ("--run RUN RUN", "RUN"),
        ("--run RUN --protocl seed", "protocl protocol"),
        ("--run RUN --holdout Asia", "holdout hold_out"),
        ("--run RUN --n_cities 40", "n_cities"),
        ("--run RUN --protocol sed", "--protocol sed"),
        ("--run RUN --protocol original", "4 5 1 --blocks"),
        ("--run RUN --blocks x", "--blocks 'x'"),
        ("--run RUN --blocks 2", "block 2 1"),
        ("--run RUN --blocks -1", "block -1"),
        (
            "--run RUN --hold_out Afrika",
            "Afrika Africa",
        ),
        ("--run RUN --prompt 'loc(c_'", "--prompt {id}"),
        ("--run RUN --prompt 'Where is {id}?'", "'W'"),
        ("--run RUN --probe_seed -1", "--probe_seed -1"),
        ("--run RUN --probe_seed few", "--probe_seed few"),
        ("--run RUN --cities_csv nowhere.csv", "--cities_csv nowhere.csv"),
        ("--run RUN --atlantis train", "--atlantis train"),
        ("--run RUN --compare nowhere", "--compare nowhere model"),
        ("--run RUN --compare .", "--compare model config.json"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(typed, names, fresh, capsys, monkeypatch):
    monkeypatch.chdir(fresh.parent)
    refused(shlex.split(typed.replace("RUN", fresh.name)), names.replace("RUN", fresh.name), capsys)
    assert not (fresh / "probe").exists()


def without_checkpoints(folder):
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def incomplete_checkpoints_only(folder):
    for checkpoint in folder.glob("checkpoint-*"):
        (checkpoint / "trainer_state.json").unlink()


def damaged_weights(folder):
    weights = folder / "checkpoint-2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def no_settings(folder):
    (folder / "settings.json").unlink()


def settings_that_are_a_list(folder):
    (folder / "settings.json").write_text("[]")


def dataset_gone(folder):
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"dataset_folder": str(folder / "gone")}))


@pytest.mark.parametrize(
    "damage, names",
    [
        (without_checkpoints, "checkpoint"),
        (incomplete_checkpoints_only, "checkpoint"),
        (damaged_weights, "checkpoint-2"),
        (no_settings, "settings.json"),
        (settings_that_are_a_list, "settings.json"),
        (dataset_gone, "gone"),
    ],
)
def test_what_is_broken_is_answered_in_one_line(damage, names, fresh, capsys):
    damage(fresh)
    refused(["--run", str(fresh)], names, capsys)
    assert not (fresh / "probe").exists()


def test_a_checkpoint_that_someone_renamed_is_left_out(fresh):
    """As in resuming, where `checkpoint-best` is no checkpoint either."""
    (fresh / "checkpoint-2").rename(fresh / "checkpoint-best")
    assert probe.main(["--run", str(fresh)]) == 0
    assert [row["step"] for row in table(fresh)] == [0, 4]


def test_a_task_without_a_probe_says_so(fresh, capsys, monkeypatch):
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda name: dataclasses.replace(load(name), probe=""))
    refused(["--run", str(fresh)], "the task location declares no probe", capsys)


# --- probing while training


@pytest.fixture(scope="module")
def probing_run(finished_run, store_uri, tmp_path_factory):
    """The finished run's command with --probe, in a folder of its own; only the map is drawn."""
    folder = tmp_path_factory.mktemp("probing")
    command = shlex.split(json.loads((finished_run / "run.json").read_text())["command"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", store_uri)
        patch.setattr("trainers.callbacks.figures.summary_figure", lambda *args: None)
        patch.setattr(
            "trainers.common.figures.save_figure",
            lambda figure, path: save_figure(figure, path) if path.name == "probe_map.png" else path.write_bytes(b""),
        )
        assert run.main([*command[1:], "--probe", "--output_dir", str(folder / "run")]) == 0
    return folder / "run"


def test_probing_while_training_draws_the_map_and_tracks_it(probing_run, store_uri):
    from mlflow import MlflowClient

    with Image.open(probing_run / "probe_map.png") as image:
        assert image.width > 800 and len(image.getcolors(1 << 24)) > 10
    run_id = json.loads((probing_run / "run.json").read_text())["mlflow_run_id"]
    assert "figures/probe_map.png" in {item.path for item in MlflowClient(store_uri).list_artifacts(run_id, "figures")}


def test_probing_while_training_tracks_its_metrics_at_the_evaluated_steps_and_at_no_others(probing_run, store_uri):
    metrics = tracked(probing_run, store_uri)
    evaluated = metrics["memorisation/haversine_km_mean"].keys()
    assert sorted(evaluated) == STEPS
    for name in ("r2_lon", "r2_lat", "error_km_mean", "baseline_error_km_mean", "error_km_mean_Africa"):
        assert metrics[f"probe_clean/{name}"].keys() == evaluated


def test_probing_while_training_finds_what_the_command_finds(probing_run, probed, store_uri):
    during = tracked(probing_run, store_uri)
    for row in table(probed):  # of a run with the same first steps
        for name in ("r2_lon", "r2_lat", "error_km_mean", "error_km_median"):
            assert during[f"probe_clean/{name}"][row["step"]] == pytest.approx(row[name], rel=1e-4)


def test_probing_while_training_does_not_change_what_is_learnt(probing_run, finished_run):
    with_probe, without = (
        load_file(folder / "checkpoint-4" / "model.safetensors") for folder in (probing_run, finished_run)
    )
    assert all(torch.equal(with_probe[name], without[name]) for name in without)


def test_the_command_adds_cka_to_a_run_that_was_probed_while_training(probing_run, prefix, store_uri, monkeypatch):
    monkeypatch.setattr("trainers.common.figures.save_animation", lambda figures, path: path.write_bytes(b""))
    assert probe.main(["--run", str(probing_run)]) == 0
    metrics = tracked(probing_run, store_uri)
    steps = [row["step"] for row in table(probing_run)]
    assert set(steps) >= set(STEPS) and sorted(metrics["probe_clean/cka"]) == steps
