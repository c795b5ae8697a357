"""What accelerate's launcher sets is a layer of settings like the others, and the machine is asked for bfloat16."""

import json

import pytest
from safetensors.torch import load_file

from tests.helpers import assert_one_line
from trainers import registry
from trainers.run import main
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings
from trainers.settings.surroundings import launcher_layer


@pytest.fixture
def tiny(tiny):
    """A run of seconds that leaves the precision to the launcher."""
    return [word for word in tiny if word not in ("--precision", "float32")]


@pytest.fixture
def launched(monkeypatch, tiny):
    """Resolve a command line below a launcher that sets variables (without ACCELERATE_)."""

    def resolve(variables, *argv):
        for name, value in variables.items():
            monkeypatch.setenv(f"ACCELERATE_{name}", value)
        return resolve_settings(read_request([*tiny, *argv], registry.load))

    return resolve


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MIXED_PRECISION": "no", "DYNAMO_BACKEND": "NO", "DYNAMO_MODE": "default"}, {"bf16": False}),
        ({"MIXED_PRECISION": "bf16"}, {"bf16": True, "mixed_precision": "bf16"}),
        ({"DYNAMO_BACKEND": "INDUCTOR"}, {"torch_compile": True, "torch_compile_backend": "inductor"}),
        ({"DYNAMO_BACKEND": "EAGER", "DYNAMO_MODE": "max-autotune"}, {"torch_compile_mode": "max-autotune"}),
        ({"GRADIENT_ACCUMULATION_STEPS": "4"}, {"gradient_accumulation_steps": 4}),
        ({"USE_CPU": "true"}, {"use_cpu": True}),
    ],
)
def test_what_the_launcher_sets_is_in_the_settings(variables, expected, launched):
    settings = launched(variables)
    assert {name: getattr(settings.training, name) for name in expected} == expected
    sources = {source for name, (_, source) in settings.request.sources.items() if expected.get(name)}
    assert sources <= {"accelerate launch", "command line"}


@pytest.mark.parametrize(
    ("variables", "flags", "expected"),
    [
        ({"MIXED_PRECISION": "bf16"}, ["--no_bf16"], {"bf16": False, "mixed_precision": "no"}),
        ({"MIXED_PRECISION": "no"}, ["--bf16"], {"bf16": True, "mixed_precision": "bf16"}),
        (
            {"GRADIENT_ACCUMULATION_STEPS": "4"},
            ["--gradient_accumulation_steps", "2"],
            {"gradient_accumulation_steps": 2},
        ),
    ],
)
def test_the_command_line_wins_over_the_launcher(variables, flags, expected, launched):
    training = launched(variables, *flags).training
    assert {name: getattr(training, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("MIXED_PRECISION", "fp16", "--fp16"),
        ("MIXED_PRECISION", "fp8", "fp8"),
        ("USE_DEEPSPEED", "true", "--deepspeed"),
        ("USE_PARALLELISM_CONFIG", "true", "--parallelism_config"),
        ("USE_MEGATRON_LM", "true", "Megatron-LM"),
        ("GRADIENT_ACCUMULATION_STEPS", "many", "--gradient_accumulation_steps"),
        ("DYNAMO_BACKEND", "nonsense", "nonsense"),
    ],
)
def test_what_is_refused_as_a_flag_is_refused_of_the_launcher(name, value, named, prefix, tiny, monkeypatch, capsys):
    monkeypatch.setenv(f"ACCELERATE_{name}", value)
    assert main([*tiny, "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, named)
    assert list(prefix.iterdir()) == []


def test_bf16_of_the_launcher_trains_on_a_cpu_and_the_record_says_so(prefix, tiny, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    tiny.remove("--use_cpu")
    assert main([*tiny, "--output_dir", str(prefix / "run")]) == 0
    assert "no units: float32 is faster" in capsys.readouterr().out
    written = json.loads((prefix / "run" / "settings.json").read_text())
    assert written["training"]["bf16"] and written["resolved"]["bf16"]
    assert written["launcher"]["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert {str(weight.dtype) for weight in load_file(prefix / "run" / "model.safetensors").values()} == {
        "torch.float32"
    }


def test_a_variable_of_the_launcher_without_a_value_asks_for_nothing(monkeypatch):
    for name in ("USE_CPU", "MIXED_PRECISION", "DYNAMO_BACKEND", "GRADIENT_ACCUMULATION_STEPS"):
        monkeypatch.setenv(f"ACCELERATE_{name}", "")
    assert launcher_layer() == {}
