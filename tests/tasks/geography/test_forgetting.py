"""The forgetting study: what is written down, which runs are trained or used again."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.geography.forgetting import Forgetting, Study, read_study
from tests.helpers import ROOT, assert_one_line, refusal, write_run
from trainers.commands import study
from trainers.studies import child_runs
from trainers.studies.child_processes import ChildOptions
from trainers.studies.parent import Children
from trainers.studies.study_file import study_path

# --- what is written down

GOOD = """
report: forgetting
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
    "text, names",
    [
        ("", "base runs reference"),
        ("- base\n- runs\n", "base runs reference"),
        ("base: [1\n", "base runs reference"),
        ("base: {config: Zürich}\n".encode("latin-1"), "base runs reference"),
        (GOOD.replace("base: {config: distance, n_train: 500}", ""), "base runs reference"),
        (GOOD.replace("base: {config: distance, n_train: 500}", "base: distance"), "base runs reference"),
        (GOOD.replace("reference: cross", ""), "base runs reference"),
        (GOOD.partition("runs:")[0], "base runs reference"),
        (GOOD.partition("runs:")[0] + "runs: [cross]", "base runs reference"),
        (GOOD.replace("cross: {config: atlantis_cross}", "cross: atlantis_cross"), "base runs reference"),
        (GOOD.replace("cross: {config: atlantis_cross}", "cross:"), "base runs reference"),
        (GOOD.replace("base: {config: distance, ", "base: {"), "base config"),
        (GOOD.replace("replay: {config: atlantis_cross, ", "replay: {"), "replay config"),
        (GOOD.replace("replay:", "a/b:"), "a/b"),
        (GOOD.replace("replay:", "/tmp/replay:"), "/tmp/replay"),
        (GOOD.replace("replay:", ".:"), "'.'"),
        (GOOD.replace("replay:", "..:"), "'..'"),
        (GOOD.replace("reference: cross", "reference: crss"), "crss"),
        (GOOD.replace("reference: cross", "reference: base"), "reference base"),
        (GOOD.partition("runs:")[0] + "runs: {}", "runs"),
        (GOOD.replace("replay:", "base:"), "base"),
    ],
)
def test_what_is_no_study_is_refused_in_one_line(text, names, tmp_path):
    with refusal("study.yaml", *names.split()):
        read_study(written(tmp_path, text))


def test_a_study_is_found_by_its_path_or_its_name(tmp_path):
    path = written(tmp_path, GOOD)
    assert study_path(str(path)) == path
    for known in (ROOT / "configs" / "studies").glob("*.yaml"):
        assert study_path(known.stem) == known
    with refusal("nowhere", "configs/studies"):
        study_path("nowhere")
    with refusal(str(tmp_path)):
        study_path(str(tmp_path))


def test_every_study_in_configs_can_be_read_and_its_configs_exist():
    child_runs = sorted((ROOT / "configs" / "studies").glob("forgetting*.yaml"))
    assert child_runs
    for path in child_runs:
        plan = read_study(path)
        for flags in (plan.base, *plan.runs.values()):
            assert (ROOT / "configs" / f"{flags['config']}.yaml").is_file()


@pytest.mark.parametrize(
    "argv, names",
    [
        (["--study", "nowhere"], "nowhere"),
        (["nowhere"], "nowhere"),
        (["--study", "study.yaml", "--bse", "x"], "bse base"),
        (["--study"], "study"),
        (["study.yaml", "other.yaml"], "study.yaml other.yaml"),
        (["--study", "study.yaml", "--output_dir", "elsewhere"], "--output_dir elsewhere EXP_DIR_PREFIX"),
        (["--study", "study.yaml", "--base", "nowhere"], "nowhere"),
    ],
)
def test_what_is_mistyped_is_answered_in_one_line(argv, names, prefix, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child_runs, "subprocess", None)  # nothing may be trained
    monkeypatch.chdir(tmp_path)
    written(tmp_path, GOOD)
    assert study.main(argv) == 2
    assert_one_line(capsys.readouterr().err, *names.split())


def test_a_base_of_another_task_is_refused_before_anything_is_trained(
    finished_run, prefix, tmp_path, monkeypatch, capsys
):
    launcher = Launcher(code=1)
    monkeypatch.setattr(child_runs, "subprocess", launcher)
    assert study.main(["--study", str(written(tmp_path, GOOD)), "--base", str(finished_run)]) == 2
    assert launcher.commands == []
    assert_one_line(capsys.readouterr().err, "--n_test")


# --- which runs are trained


class Launcher:
    """In the place of `subprocess`: writes down what would be started, and leaves what a run leaves."""

    def __init__(self, code=0, finishes=True, checkpoint=False):
        self.code, self.finishes, self.checkpoint, self.commands = code, finishes, checkpoint, []

    def Popen(self, command, **kwargs):
        self.commands.append(command)
        (folder,) = [Path(token.partition("=")[2]) for token in command if token.startswith("--output_dir=")]
        folder.mkdir(parents=True, exist_ok=True)
        write_run(folder, command[2:])
        if self.checkpoint:
            (folder / "checkpoint-3").mkdir(exist_ok=True)
            (folder / "checkpoint-3" / "trainer_state.json").write_text('{"global_step": 3, "max_steps": 9}')
        if self.finishes:
            (folder / "results.json").write_text("{}")
        return SimpleNamespace(poll=lambda: self.code)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Ask for a run, with some launcher; returns the commands that were started."""

    def asked(launcher, flags=None):
        monkeypatch.setattr(child_runs, "subprocess", launcher)
        flags = {"config": "distance", "learning_rate": 1e-05} if flags is None else flags
        children = Children(ChildOptions(), SimpleNamespace(run_id="parent"))
        (trained,) = children.train({tmp_path / "run": flags}) or children.check()
        assert trained.path == tmp_path / "run"
        return launcher.commands

    return asked


def test_a_run_is_started_once_with_its_flags_and_then_used_again(train, tmp_path):
    (command,) = train(Launcher())
    assert command[1] == str(ROOT / "trainers" / "run.py")
    assert command[2:] == ["--config=distance", "--learning_rate=1e-05", f"--output_dir={tmp_path / 'run'}"]
    assert train(Launcher()) == []


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(train, monkeypatch):
    monkeypatch.setattr("trainers.folders.run_folder.damage_of", lambda checkpoint: None)
    with refusal("run", 143):
        train(Launcher(code=143, finishes=False, checkpoint=True))
    (command,) = train(Launcher())
    assert command[-2:] == ["--resume_from_checkpoint", "last"] and "--overwrite" not in command
    assert train(Launcher()) == []


def test_a_run_that_was_interrupted_before_its_first_checkpoint_starts_over_and_is_then_used_again(train):
    with refusal("run", 143):
        train(Launcher(code=143, finishes=False))
    (command,) = train(Launcher())
    assert command[-1] == "--overwrite"
    assert train(Launcher()) == []


def test_a_folder_of_a_run_with_other_flags_is_left_alone(train):
    train(Launcher())
    with refusal("learning_rate", "--output_dir"):
        train(Launcher(), {"config": "distance", "learning_rate": 2e-05})


def test_a_protocol_that_reads_another_token_is_refused_before_anything_is_trained(tmp_path):
    children = SimpleNamespace()  # it can train nothing
    with refusal("--read id", "clean"):
        Forgetting(protocol="original", read="id").run(written(tmp_path, GOOD), tmp_path, children)
