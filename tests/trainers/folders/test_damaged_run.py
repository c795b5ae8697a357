"""Files of a run that were damaged by hand: one sentence that names the file, whatever is in it."""

import json
import shutil

import pytest

from tests.helpers import assert_one_line
from trainers.commands import evaluate, predict, push
from trainers.run import main as train

CONTENTS = [b"", b"[]", b"\xff", b'{"task": 3, "given": 3, "kept_step": "x"}']
RESUME = ["--resume_from_checkpoint", "last", "--max_steps", "6", "--dry_run", "--output_dir"]


@pytest.fixture
def run(finished_run, prefix):
    return shutil.copytree(finished_run, prefix / "runs" / "damaged")


def outcomes(run, capsys):
    """Command -> its exit code and its error."""
    commands = {
        "evaluate": lambda: evaluate.main([str(run), "--checkpoint", "all", "--split", "none"]),
        "predict": lambda: predict.main([str(run), "l" * 40]),
        "push": lambda: push.main([str(run), "me/location", "--dry_run"]),
        "resume": lambda: train([*RESUME, str(run)]),
    }
    return {name: (main(), capsys.readouterr().err) for name, main in commands.items()}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("run.json", ("evaluate", "predict", "push", "resume")),
        ("settings.json", ("evaluate", "predict", "resume")),
        ("results.json", ("evaluate", "predict", "push")),
    ],
)
def test_a_damaged_file_is_named(name, readers, content, run, capsys):
    (run / name).write_bytes(content)
    found = outcomes(run, capsys)
    for reader in readers:
        assert found[reader][0] == 2
        assert_one_line(found[reader][1], name, "restore")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "settings.json", "results.json", "checkpoint-4/trainer_state.json"])
@pytest.mark.parametrize("value", [None, [], {}, "x", 3])
def test_no_value_of_another_type_ends_in_a_traceback(name, value, run, capsys):
    content = json.loads((run / name).read_text())
    known = ("task", "package", "mlflow_run_id", "given", "resolved", "dataset_folder", "dataset_sha256", "world_size")
    known += ("kept_step", "steps", "global_step", "log_history", "best_global_step", "figures")
    for key in sorted(content.keys() & set(known)):
        (run / name).write_text(json.dumps({**content, key: value}))
        for code, error in outcomes(run, capsys).values():
            assert code in (0, 2) and "Traceback" not in error


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_state_of_the_newest_checkpoint_is_passed_over_with_a_warning(content, run, capsys):
    (run / "checkpoint-4" / "trainer_state.json").write_bytes(content)
    assert train([*RESUME, str(run)]) == 0
    shown = capsys.readouterr().out
    assert "checkpoint-4" in shown and "trainer_state.json" in shown and "incomplete" in shown
