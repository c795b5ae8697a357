"""A run computes in bfloat16 where there are units for it, keeps its precision, and says which it is."""

import json

import pytest

from tests.helpers import assert_one_line
from trainers import registry
from trainers.run import main
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings


@pytest.fixture
def tiny(tiny):
    """A run of seconds that leaves the precision open."""
    return [word for word in tiny if word not in ("--precision", "float32")]


@pytest.fixture
def units(monkeypatch):
    """Give the processor units for bfloat16."""
    monkeypatch.setattr("trainers.settings.precision.has_bfloat16_units", lambda on_cpu: True)


def bf16_of(argv):
    settings = resolve_settings(read_request(argv, registry.load))
    assert settings.run.precision == ("bfloat16" if settings.training.bf16 else "float32")
    return settings.training.bf16


@pytest.mark.parametrize(
    ("flags", "without", "with_units"),
    [
        ("", False, True),
        ("--precision auto", False, True),
        ("--precision float32", False, False),
        ("--precision bfloat16", True, True),
        ("--bf16", True, True),
        ("--bf16 yes", True, True),
        ("--no_bf16", False, False),
        ("--bf16 0", False, False),
    ],
)
def test_auto_takes_what_the_processor_is_fast_at_and_bf16_is_another_name(
    flags, without, with_units, tiny, monkeypatch
):
    argv = [*tiny, *flags.split()]
    assert bf16_of(argv) is without
    monkeypatch.setattr("trainers.settings.precision.has_bfloat16_units", lambda on_cpu: True)
    assert bf16_of(argv) is with_units


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--precision half", ["--precision", "half", "bfloat16"]),
        ("--bf16 perhaps", ["--bf16", "perhaps"]),
        ("--bf16 --precision float32", ["--precision", "--bf16", "one of the two"]),
    ],
)
def test_other_words_are_refused(flags, named, prefix, tiny, capsys):
    assert main([*tiny, *flags.split(), "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, *named)


def test_the_last_layer_wins_under_either_name(tiny, tmp_path, units):
    config = tmp_path / "float32.yaml"
    config.write_text("precision: float32\n")
    assert bf16_of([*tiny, "--config", str(config)]) is False
    assert bf16_of([*tiny, "--config", str(config), "--bf16"]) is True
    config.write_text("bf16: true\n")
    assert bf16_of([*tiny, "--config", str(config), "--precision", "float32"]) is False


def test_a_run_keeps_its_precision_on_another_machine(prefix, tiny, units, monkeypatch, capsys):
    run = prefix / "run"
    assert main([*tiny, "--output_dir", str(run)]) == 0
    assert "bfloat16" in capsys.readouterr().out
    assert json.loads((run / "settings.json").read_text())["resolved"]["precision"] == "bfloat16"
    monkeypatch.setattr("trainers.settings.precision.has_bfloat16_units", lambda on_cpu: False)
    assert bf16_of(["--resume_from_checkpoint", str(run)]) is True
    assert main(["--resume_from_checkpoint", str(run), "--max_steps", "6"]) == 0
    assert "no units: float32 is faster" in capsys.readouterr().out
    assert json.loads((run / "settings.json").read_text())["changes"] == [
        {"name": "max_steps", "before": 4, "after": 6, "step": 4}
    ]
