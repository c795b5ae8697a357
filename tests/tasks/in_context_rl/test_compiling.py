"""The blocks of history models are compiled where a run is long enough, and compute what they compute without."""

import json

import pytest
import torch

from tasks.in_context_rl.model import HistoryConfig, HistoryModel
from tests.helpers import assert_one_line, assert_resumed_is_uninterrupted, counting_backend
from trainers import registry
from trainers.folders.checkpoints import read_state
from trainers.models import blocks
from trainers.run import main
from trainers.runs import compiling, session
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings

from .model_helpers import build, random_labels, random_steps
from .test_runs import COMPRESSED
from .test_runs import TINY as RUN

# Dynamo looks at `.grad` of every input itself, and an error there is not a warning any more.
of_dynamo = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


@pytest.fixture
def traced(monkeypatch):
    """Count the graphs that are compiled; kernels are PyTorch's own, since making others takes half a minute."""
    graphs, backend = counting_backend()
    compiled = torch.compile(blocks.Block.forward, dynamic=True, backend=backend)
    monkeypatch.setattr(blocks, "compiled_block", lambda: compiled)
    monkeypatch.setattr(compiling, "failure", lambda: None)
    torch.compiler.reset()
    return graphs


@of_dynamo
@pytest.mark.parametrize(("kind", "n_graphs"), [("ad", 1), ("gated", 3)])
def test_a_graph_for_each_kind_of_block_serves_all_depths_in_full_training_batches(kind, n_graphs, traced):
    model = build(kind, window=11, keep=4).float()  # no two sizes are alike: Dynamo would believe that they always are
    model.compiled_rows = 5
    for rows, depth in ((5, 0), (3, 0), *[(5, depth) for depth in (1, 2, 3) if kind == "gated"]):
        length = model.schedule.length(depth)
        batch = {"steps": random_steps(rows, length), "labels": random_labels(rows, length)}
        parameters = [p for p in model.parameters() if p.requires_grad]
        before, found = len(traced), []
        for training in (False, True):
            loss = model.train(training)(**batch).loss
            found.append([loss, *torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
        assert rows == 5 or len(traced) == before
    assert len(traced) == n_graphs


@pytest.mark.parametrize(
    ("flags", "worth_flop", "is_compiled"),
    [("", 1e30, False), ("", 0, True), ("--compile never", 0, False), ("--compile always", 1e30, True)],
)
def test_long_runs_are_compiled(flags, worth_flop, is_compiled, datasets_once, prefix, traced, monkeypatch):
    monkeypatch.setattr("tasks.in_context_rl.model.HistoryModel.worth_compiling_flop", worth_flop)
    argv = [*RUN, "--max_steps", "10", *flags.split()]
    trainer = session.prepare(resolve_settings(read_request(argv, registry.load)), prefix).trainer
    assert trainer.unwrapped_model.compiled_rows == (8 if is_compiled else 0)


@pytest.mark.parametrize(
    ("kind", "sizes", "steps"),
    [
        ("ad", {"window": 100, "keep": 50}, 100),
        ("gated", {"window": 25, "keep": 5, "depth_weights": "0:32.5,1:21,2:15.5,3:9.7,7:15.2,15:6.1"}, 122.5),
    ],
)
def test_the_runs_of_the_configs_are_long_enough(kind, sizes, steps):
    config = build(kind, hidden_size=64, num_hidden_layers=4, intermediate_size=168, num_attention_heads=4).config
    model = HistoryModel(HistoryConfig(**{**config.to_dict(), **sizes}))
    assert model.tokens_per_row() == pytest.approx(steps, rel=0.01)
    assert 6 * model.num_parameters() * 64 * steps * 2_500 > model.worth_compiling_flop


@of_dynamo
def test_a_resumed_run_is_compiled_as_before(traced, prefix):
    assert_resumed_is_uninterrupted([*RUN, *COMPRESSED, "--compile", "always"], prefix)
    for name in ("whole", "halves"):
        assert json.loads((prefix / name / "settings.json").read_text())["compiled"] is True
    assert traced


@pytest.mark.parametrize("flags", ["--per_device_train_batch_size 4000", "--torch_compile"])
def test_what_cannot_be_compiled_is_refused_if_it_is_asked_for(flags, datasets_once, prefix, capsys):
    assert main([*RUN, "--compile", "always", *flags.split(), "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "--compile always", "leave it out")


@of_dynamo
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by PyTorch itself
@pytest.mark.slow
def test_compiled_kernels_learn_the_same(prefix):
    losses = {}
    for word in ("always", "never"):
        run = prefix / word
        assert main([*RUN, "--compile", word, "--max_steps", "20", "--output_dir", str(run)]) == 0
        losses[word] = [row["loss"] for row in read_state(run)["log_history"] if "loss" in row]
    assert len(losses["never"]) == 20 and losses["always"][-1] < losses["always"][0]
    assert losses["always"] == pytest.approx(losses["never"], rel=1e-2)
