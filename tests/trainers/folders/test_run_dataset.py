"""A run whose dataset is lost: what is said works."""

import shlex
import shutil

import pytest

from tests.helpers import assert_one_line
from trainers.__main__ import main as world_models
from trainers.commands import evaluate, predict
from trainers.folders.run_folder import RunFolder
from trainers.run import main as train


@pytest.fixture
def lost(finished_run, prefix, tmp_path, monkeypatch):
    """A copy of a run whose dataset, a copy too, is gone; the copy of the dataset elsewhere."""
    run = RunFolder(shutil.copytree(finished_run, prefix / "runs" / "copy"))
    settings = run.settings
    elsewhere = shutil.copytree(run.dataset, tmp_path / "elsewhere")
    gone = prefix / "datasets" / run.dataset.name
    run.write_settings({**settings, "dataset_folder": str(gone)})
    return run.path, elsewhere, gone


def command_in(error):
    assert_one_line(error, "--n_cities 40", "world-models dataset --task location")
    return shlex.split(error.split("`")[1])[1:]


@pytest.mark.parametrize("damage", ["gone", "metadata.json", "memorisation/dataset_info.json", "rows"])
def test_the_command_that_is_named_builds_the_same_dataset_again(damage, lost, capsys):
    run, elsewhere, gone = lost
    if damage != "gone":
        shutil.copytree(elsewhere, gone)
    if damage == "rows":
        shutil.rmtree(gone / "memorisation")
        shutil.copytree(elsewhere / "train", gone / "memorisation")
        (gone / "memorisation" / "data-00000-of-00001.arrow").write_bytes(b"")
    elif damage != "gone":
        (gone / damage).write_text("")
    assert evaluate.main([str(run)]) == 2
    assert world_models(command_in(capsys.readouterr().err)) == 0
    assert evaluate.main([str(run)]) == 0


def test_prompts_are_refused_with_the_command_and_answered_after_it(lost, capsys):
    run, _, gone = lost
    assert predict.main([str(run), "loc(c_1)="]) == 2
    assert world_models(command_in(capsys.readouterr().err)) == 0 and gone.is_dir()
    assert predict.main([str(run), "loc(c_1)="]) == 0


def test_another_dataset_is_evaluated_without_the_runs_own(lost, capsys):
    run, elsewhere, _ = lost
    assert evaluate.main([str(run), "--dataset", str(elsewhere)]) == 0
    assert (run / "evaluations" / elsewhere.name).is_dir()
    assert evaluate.main([str(run), "--dataset", str(elsewhere), "--n_cities", "7"]) == 2
    assert_one_line(capsys.readouterr().err, "--n_cities")


def test_a_resumed_run_whose_dataset_is_damaged_is_not_told_to_rebuild_where_it_cannot(lost, capsys):
    run, elsewhere, gone = lost
    shutil.copytree(elsewhere, gone)
    (gone / "metadata.json").write_text("[]")
    argv = ["--output_dir", str(run), "--resume_from_checkpoint", "last", "--max_steps", "6", "--dry_run"]
    assert train(argv) == 2
    assert world_models(command_in(capsys.readouterr().err)) == 0
    assert train(argv) == 0


def test_a_dataset_that_has_lost_its_cities_is_built_again_by_the_command(lost, capsys):
    run, elsewhere, gone = lost
    shutil.copytree(elsewhere, gone)
    (gone / "cities.csv").unlink()
    assert predict.main([str(run), "loc(c_1)="]) == 2
    assert world_models(command_in(capsys.readouterr().err)) == 0
    assert predict.main([str(run), "loc(c_1)="]) == 0


def test_options_beside_a_given_dataset_are_refused_by_name(lost, capsys):
    _, elsewhere, _ = lost
    assert train(["--task", "location", "--dataset", str(elsewhere), "--n_cities", "9", "--use_cpu", "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "--n_cities")
