"""Output folders and checkpoints that cannot be used."""

import os
import shutil

import pytest

from tests.helpers import assert_one_line
from trainers import run

from .desk_helpers import cases, check, cut, edit_json

PREPARED, case = cases()


# Output folders


@case("done --overwrite")
def output_dir_in_use(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/done"]


@case("outputs/file file folder")
def output_dir_that_is_a_file(desk):
    (desk.prefix / "file").write_text("text")
    return [*desk.tiny, "--output_dir", "outputs/file", "--overwrite"]


@case("outputs/file")
def output_dir_below_a_file(desk):
    (desk.prefix / "file").write_text("text")
    return [*desk.tiny, "--output_dir", "outputs/file/run"]


@case("EXP_DIR_PREFIX")
def output_dir_behind_a_link(desk):
    (desk.tmp_path / "thesis").mkdir()
    (desk.prefix / "link").symlink_to(desk.tmp_path / "thesis")
    return [*desk.tiny, "--output_dir", "outputs/link/run", "--overwrite"]


@case("outputs/circle link")
def output_dir_behind_a_circle_of_links(desk):
    (desk.prefix / "circle").symlink_to("circle")
    return [*desk.tiny, "--output_dir", "outputs/circle/run"]


@case("outputs_old EXP_DIR_PREFIX")
def output_dir_beside_the_prefix(desk):
    (desk.tmp_path / "outputs_old").mkdir()
    return [*desk.tiny, "--output_dir", "outputs_old", "--overwrite"]


@case("outputs/run permission")
def output_dir_without_permission(desk):
    desk.monkeypatch.setattr(os, "access", lambda path, mode: False)
    return [*desk.tiny, "--output_dir", "outputs/run"]


@case("thesis run.json")
def overwriting_what_is_no_run(desk):
    (desk.prefix / "thesis").mkdir()
    (desk.prefix / "thesis" / "thesis.tex").write_text("years of work")
    return [*desk.tiny, "--output_dir", "outputs/thesis", "--overwrite"]


@case("EXP_DIR_PREFIX missing")
def prefix_missing(desk):
    desk.monkeypatch.setenv("EXP_DIR_PREFIX", "missing")
    return desk.tiny


@case("EXP_DIR_PREFIX file")
def prefix_that_is_a_file(desk):
    (desk.tmp_path / "file").write_text("text")
    desk.monkeypatch.setenv("EXP_DIR_PREFIX", str(desk.tmp_path / "file"))
    return desk.tiny


@case("outputs/datasets file")
def datasets_folder_that_is_a_file(desk):
    (desk.prefix / "datasets").write_text("text")
    return desk.tiny


@case("outputs/runs")
def runs_folder_that_is_a_file(desk):
    (desk.prefix / "runs").write_text("text")
    return desk.tiny


# Resuming

RESUME = ["--output_dir", "outputs/done", "--resume_from_checkpoint", "last", "--max_steps", "6"]


@case("4 --max_steps")
def resuming_a_finished_run(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("checkpoint-4 4")
def resuming_a_finished_run_of_epochs(desk):
    desk.run()
    tiny = [token for token in desk.tiny if token not in ("--max_steps", "4")]
    return [*tiny, "--num_train_epochs", "0.5", "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("checkpoint-2 --output_dir")
def resuming_in_another_folder(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/new", "--resume_from_checkpoint", "outputs/done/checkpoint-2"]


@case("EXP_DIR_PREFIX")
def resuming_outside_the_prefix(desk):
    desk.run().rename(desk.tmp_path / "away")
    return [*desk.tiny, "--resume_from_checkpoint", "away/checkpoint-2"]


@case("checkpoint-4 --max_steps 4")
def resuming_by_the_folder_of_a_finished_run(desk):
    desk.run()
    return [*desk.tiny, "--resume_from_checkpoint", "outputs/done"]


@case("--resume_from_checkpoint checkpoint-N trainer_state.json")
def resuming_without_checkpoints(desk):
    for checkpoint in desk.run().glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return [*desk.tiny, "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("distance location")
def resuming_another_task(desk):
    edit_json(desk.run() / "run.json", task="distance")
    return [*desk.tiny, *RESUME]


def resuming_4(desk, damage):
    """The command for a checkpoint that is damaged; `last` would take the one before."""
    checkpoint = desk.run() / "checkpoint-4"
    damage(checkpoint)
    return [*desk.tiny, "--resume_from_checkpoint", str(checkpoint)]


@case("checkpoint-4")
def resuming_with_a_damaged_state(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "trainer_state.json"))


@case("checkpoint-4")
def resuming_with_a_state_that_is_a_list(desk):
    return resuming_4(desk, lambda checkpoint: (checkpoint / "trainer_state.json").write_text("[]"))


@case("checkpoint-4")
def resuming_with_damaged_weights(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "model.safetensors"))


@case("checkpoint-4 optimizer.pt")
def resuming_with_a_damaged_optimizer(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "optimizer.pt"))


@case("hidden_size 16 32")
def resuming_with_another_size(desk):
    desk.run()
    return [*desk.tiny, *RESUME, "--hidden_size", "32"]


@case("--resume_from_checkpoint checkpoint-N")
def resuming_with_a_renames_checkpoint_only(desk):
    folder = desk.run()
    for step in (0, 2):
        shutil.rmtree(folder / f"checkpoint-{step}")
    (folder / "checkpoint-4").rename(folder / "checkpoint-best")
    return [*desk.tiny, *RESUME]


def test_a_disk_that_fills_up_while_training(desk, capsys, monkeypatch):
    import torch

    def save(*args, **kwargs):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 8512 vs 8406")

    monkeypatch.setattr(torch, "save", save)
    assert run.main([*desk.tiny, "--output_dir", "outputs/new"]) == 2
    assert_one_line(capsys.readouterr().err, "checkpoint", "outputs/new", "disk")
    assert not list(desk.prefix.glob("new/checkpoint-*/trainer_state.json"))  # what is incomplete is never resumed


@pytest.mark.parametrize("prepare, names", PREPARED)
def test_what_is_broken(prepare, names, desk, capsys):
    check(run.main, prepare(desk), names, desk, capsys)
