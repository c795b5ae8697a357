"""The training pass is compiled where a run is long enough, and computes what it computes without."""

import json

import pytest
import torch

from tests.helpers import assert_one_line, assert_resumed_is_uninterrupted, counting_backend
from trainers import registry
from trainers.folders.checkpoints import read_state
from trainers.models import causal_lm
from trainers.run import main
from trainers.runs import compiling, session
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings

# Dynamo looks at `.grad` of every input itself, and an error there is not a warning any more.
of_dynamo = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


@pytest.fixture
def traced(monkeypatch):
    """Count the graphs that are compiled; kernels are PyTorch's own, since making others takes half a minute."""
    graphs, backend = counting_backend()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compile_(function, backend=backend, **how))
    causal_lm._compiled_halves.cache_clear()
    yield graphs
    causal_lm._compiled_halves.cache_clear()


@pytest.fixture(autouse=True)
def compiler(monkeypatch, request):
    """Take for granted that compiling works, which is found out by doing it."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(compiling, "failure", lambda: None)


def prepared(argv, prefix):
    return session.prepare(resolve_settings(read_request(argv, registry.load)), prefix).trainer


@pytest.mark.parametrize(
    ("flags", "worth_flop", "is_compiled"),
    [
        ("", compiling._WORTH_FLOP, False),
        ("", 0, True),
        ("--compile never", 0, False),
        ("--compile always", compiling._WORTH_FLOP, True),
        ("--loss_on all", 0, False),
        ("--stock_forward", 0, False),
        ("--model_type gpt2", 0, False),
        ("--group_by_length", 0, False),
        ("--per_device_train_batch_size 41", 0, False),
    ],
)
def test_long_runs_of_the_short_pass_are_compiled(
    flags, worth_flop, is_compiled, datasets_once, prefix, tiny, monkeypatch
):
    monkeypatch.setattr(compiling, "_WORTH_FLOP", worth_flop)
    trainer = prepared([*tiny, *flags.split()], prefix)
    assert getattr(trainer.unwrapped_model, "compiled_rows", 0) == (8 if is_compiled else 0)
    assert trainer.train_dataset.fixed_width == is_compiled


def test_the_work_of_the_default_recipe_is_less_than_compiling_is_worth(datasets_once, prefix):
    flop = compiling._flop(prepared(["--task", "location", "--use_cpu"], prefix))
    assert 0.1 < flop / compiling._WORTH_FLOP < 1
    assert flop == pytest.approx(6 * 139_000 * 256 * 23 * 3_000, rel=0.05)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--loss_on all", "trainers/models/causal_lm.py"),
        ("--torch_compile", "--torch_compile"),
        ("--group_by_length", "differ much in length"),
        ("--per_device_train_batch_size 41", "40 rows"),
    ],
)
def test_what_cannot_be_compiled_is_refused_if_it_is_asked_for(flags, named, datasets_once, prefix, tiny, capsys):
    assert main([*tiny, "--compile", "always", *flags.split(), "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "--compile always", named)


def test_it_is_refused_for_rows_of_unlike_lengths_and_without_a_compiler(
    datasets_once, prefix, tiny, monkeypatch, capsys
):
    walks = "--task random_walk --n_cities 300 --n_train 500 --n_val 20 --n_test 20"
    assert main([*walks.split(), *tiny[4:], "--compile", "always", "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "differ much in length")
    monkeypatch.setattr(compiling, "failure", lambda: "compiling fails here (no g++)")
    assert main([*tiny, "--compile", "always", "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "no g++")
    monkeypatch.setattr(compiling, "_WORTH_FLOP", 0)
    assert prepared(tiny, prefix).unwrapped_model.compiled_rows == 0  # a long run goes on without


def test_what_hinders_a_compiler_is_said(monkeypatch):
    def broken(function):
        raise RuntimeError("InvalidCxxCompiler\n  tried g++")

    monkeypatch.undo()  # the fixture that takes it for granted
    monkeypatch.setattr(torch, "compile", broken)
    assert compiling.failure() == "compiling fails here (InvalidCxxCompiler tried g++)"


@pytest.mark.parametrize(("before", "worth_flop", "is_compiled"), [(True, 1e30, True), (False, 0, False)])
def test_a_resumed_run_goes_on_as_it_began(before, worth_flop, is_compiled, datasets_once, prefix, tiny, monkeypatch):
    trainer = prepared([*tiny, "--compile", "never"], prefix)
    trainer.run.compile = "auto"
    monkeypatch.setattr(compiling, "_WORTH_FLOP", worth_flop)
    compiling.settle_compiling(trainer, before)
    assert bool(trainer.unwrapped_model.compiled_rows) is is_compiled


@of_dynamo
def test_two_graphs_serve_all_blocks_and_only_full_batches_in_training(traced, datasets_once, prefix, tiny):
    trainer = prepared([*tiny, "--compile", "always", "--num_hidden_layers", "3"], prefix)
    model, rows = trainer.unwrapped_model, trainer.train_dataset
    full, rest = rows.__getitems__([0, 1, 2, 3, 4, 5, 6, 7]), rows.__getitems__([8, 9])
    for batch in (full, rest, full):
        model.eval()
        expected = model(**batch).loss
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        model.train()
        loss = model(**batch).loss
        assert torch.allclose(loss, expected, rtol=1e-5)
        for one, other in zip(torch.autograd.grad(loss, list(model.parameters())), gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert len(traced) == 3  # the last block finishes the answers' tokens only


@of_dynamo
def test_a_resumed_run_is_compiled_as_before(traced, prefix, tiny):
    assert_resumed_is_uninterrupted([*tiny, "--compile", "always"], prefix)
    for name in ("whole", "halves"):
        assert json.loads((prefix / name / "settings.json").read_text())["compiled"] is True
    assert len(traced) == 2  # the only block finishes the answers' tokens alone


@of_dynamo
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by PyTorch itself
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_kernels_learn_the_same(precision, prefix, tiny):
    losses = {}
    for word in ("always", "never"):
        run = prefix / word
        argv = [*tiny, "--precision", precision, "--compile", word, "--max_steps", "20", "--output_dir", str(run)]
        assert main(argv) == 0
        losses[word] = [row["loss"] for row in read_state(run)["log_history"] if "loss" in row]
    assert len(losses["never"]) == 20 and losses["always"][-1] < losses["always"][0] - 0.1
    assert losses["always"] == pytest.approx(losses["never"], rel=1e-4 if precision == "float32" else 1e-2)
