"""The forgetting study: what is written down, which runs are trained or used again."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.geography import forgetting
from tasks.geography.forgetting import Study, read_study
from tests.helpers import ROOT, assert_one_line
from trainers.errors import UserError
from trainers.studies import child_runs
from trainers.studies.study_file import study_path

# --- what is written down

GOOD = """
base: {config: distance, n_train: 500}
reference: cross
runs:
  cross: {config: atlantis_cross}
  replay: {config: atlantis_cross, replay_ratio: 0.5}
"""


def written(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_study_is_read_as_written(tmp_path):
    assert read_study(written(tmp_path, GOOD)) == Study(
        {"config": "distance", "n_train": 500},
        {"cross": {"config": "atlantis_cross"}, "replay": {"config": "atlantis_cross", "replay_ratio": 0.5}},
        "cross",
    )


@pytest.mark.parametrize(
    "text, fragment",
    [
        ("", "is no study"),
        ("- base\n- runs\n", "is no study"),
        ("base: [1\n", "is no study"),
        ("base: {config: Zürich}\n".encode("latin-1"), "is no study"),
        (GOOD.replace("base: {config: distance, n_train: 500}", ""), "is no study"),
        (GOOD.replace("base: {config: distance, n_train: 500}", "base: distance"), "is no study"),
        (GOOD.replace("reference: cross", ""), "is no study"),
        (GOOD.partition("runs:")[0], "is no study"),
        (GOOD.partition("runs:")[0] + "runs: [cross]", "is no study"),
        (GOOD.replace("cross: {config: atlantis_cross}", "cross: atlantis_cross"), "is no study"),
        (GOOD.replace("cross: {config: atlantis_cross}", "cross:"), "is no study"),
        (GOOD.replace("base: {config: distance, ", "base: {"), "the run 'base' needs a config"),
        (GOOD.replace("replay: {config: atlantis_cross, ", "replay: {"), "the run 'replay' needs a config"),
        (GOOD.replace("replay:", "a/b:"), "the run 'a/b' needs a config, and a name that can be a folder's"),
        (GOOD.replace("replay:", "/tmp/replay:"), "a name that can be a folder's"),
        (GOOD.replace("replay:", ".:"), "a name that can be a folder's"),
        (GOOD.replace("replay:", "..:"), "a name that can be a folder's"),
        (GOOD.replace("reference: cross", "reference: crss"), "the reference 'crss' must be one of the runs"),
        (GOOD.replace("reference: cross", "reference: base"), "the reference 'base' must be one of the runs"),
        (GOOD.partition("runs:")[0] + "runs: {}", "has no runs"),
        (GOOD.replace("replay:", "base:"), "none may be called base"),
    ],
)
def test_what_is_no_study_is_refused_in_one_line(text, fragment, tmp_path):
    with pytest.raises(UserError) as refusal:
        read_study(written(tmp_path, text))
    assert fragment in str(refusal.value) and "study.yaml" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_study_is_found_by_its_path_or_its_name(tmp_path):
    path = written(tmp_path, GOOD)
    assert study_path(str(path)) == path
    for known in (ROOT / "configs" / "studies").glob("*.yaml"):
        assert study_path(known.stem) == known
    with pytest.raises(UserError, match=r"there is no study 'nowhere'; configs/studies/ has: "):
        study_path("nowhere")
    with pytest.raises(UserError, match="there is no study"):
        study_path(str(tmp_path))


def test_every_study_in_configs_can_be_read_and_its_configs_exist():
    child_runs = sorted((ROOT / "configs" / "studies").glob("forgetting*.yaml"))
    assert child_runs
    for path in child_runs:
        study = read_study(path)
        for flags in (study.base, *study.runs.values()):
            assert (ROOT / "configs" / f"{flags['config']}.yaml").is_file()


def test_the_study_that_is_meant_without_any_flag_exists():
    assert read_study(study_path(forgetting.StudyOptions().study))


@pytest.mark.parametrize(
    "argv, fragment",
    [
        (["--study", "nowhere"], "there is no study 'nowhere'"),
        (["--stdy", "x"], "unknown setting 'stdy' (command line). Did you mean study"),
        (["--study"], "--study"),
        (["study.yaml"], "stands alone"),
        (["--study", "study.yaml", "--output_dir", "elsewhere"], "outside EXP_DIR_PREFIX"),
        (["--study", "study.yaml", "--base", "nowhere"], "nowhere"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(argv, fragment, prefix, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)  # nothing may be trained
    monkeypatch.chdir(tmp_path)
    written(tmp_path, GOOD)
    assert forgetting.main(argv) == 2
    assert_one_line(capsys.readouterr().err, fragment)


def test_a_base_of_another_task_is_refused_before_anything_is_trained(
    finished_run, prefix, tmp_path, monkeypatch, capsys
):
    launcher = Launcher(code=1)
    monkeypatch.setattr(child_runs, "subprocess", launcher)
    assert forgetting.main(["--study", str(written(tmp_path, GOOD)), "--base", str(finished_run)]) == 2
    assert launcher.commands == [] and "location" in capsys.readouterr().err


# --- which runs are trained


class Launcher:
    """In the place of `subprocess`: writes down what would be started, and leaves what a run leaves."""

    def __init__(self, code=0, finishes=True, checkpoint=False):
        self.code, self.finishes, self.checkpoint, self.commands = code, finishes, checkpoint, []

    def Popen(self, command, **kwargs):
        self.commands.append(command)
        (folder,) = [Path(token.partition("=")[2]) for token in command if token.startswith("--output_dir=")]
        folder.mkdir(parents=True, exist_ok=True)
        if (
            "--resume_from_checkpoint" not in command
        ):  # as trainers/runs/session.py does: a resumed run keeps its marker
            marker = {"task": "distance", "command": shlex.join(command[1:])}
            (folder / "run.json").write_text(json.dumps(marker))
        if self.checkpoint:
            (folder / "checkpoint-3").mkdir(exist_ok=True)
            (folder / "checkpoint-3" / "trainer_state.json").write_text('{"global_step": 3, "max_steps": 9}')
        if self.finishes:
            (folder / "results.json").write_text("{}")
        return SimpleNamespace(wait=lambda: self.code)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Ask for a run, with some launcher; returns the commands that were started."""

    def asked(launcher, flags=None):
        monkeypatch.setattr(child_runs, "subprocess", launcher)
        flags = {"config": "distance", "learning_rate": 1e-05} if flags is None else flags
        assert child_runs.trained(tmp_path / "run", flags).path == tmp_path / "run"
        return launcher.commands

    return asked


def test_a_run_is_started_once_with_its_flags_and_then_used_again(train, tmp_path):
    (command,) = train(Launcher())
    assert command[1] == str(ROOT / "trainers" / "run.py")
    assert command[2:] == ["--config=distance", "--learning_rate=1e-05", f"--output_dir={tmp_path / 'run'}"]
    assert train(Launcher()) == []


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(train, monkeypatch):
    monkeypatch.setattr("trainers.folders.run_folder.damage_of", lambda checkpoint: None)
    with pytest.raises(UserError, match="the run run ended with exit code 143"):
        train(Launcher(code=143, finishes=False, checkpoint=True))
    (command,) = train(Launcher())
    assert command[-2:] == ["--resume_from_checkpoint", "last"] and "--overwrite" not in command
    assert train(Launcher()) == []


def test_a_run_that_was_interrupted_before_its_first_checkpoint_starts_over_and_is_then_used_again(train):
    with pytest.raises(UserError, match="ended with exit code 143"):
        train(Launcher(code=143, finishes=False))
    (command,) = train(Launcher())
    assert command[-1] == "--overwrite"
    assert train(Launcher()) == []


def test_a_folder_of_a_run_with_other_flags_is_left_alone(train):
    train(Launcher())
    with pytest.raises(UserError, match=r"was made by another command .* give another --output_dir, or delete it"):
        train(Launcher(), {"config": "distance", "learning_rate": 2e-05})
