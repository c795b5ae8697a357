"""A training step waits for no device; on a GPU it is replayed as CUDA graphs with the same loss and gradients."""

import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from tests.helpers import assert_resumed_is_uninterrupted
from trainers import registry
from trainers.models.causal_lm import compile_training
from trainers.runs import session
from trainers.settings.request import read_request
from trainers.settings.resolve import resolve_settings

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique_dim", "_unique2"}
"""Operators whose result the host must know: on a GPU it waits until all work before them is done."""


def prepared(argv, prefix):
    return session.prepare(resolve_settings(read_request(argv, registry.load)), prefix).trainer


class _Waits(TorchDispatchMode, TrainerCallback):
    """Note in which steps an operator is called that waits for the device."""

    def __init__(self):
        super().__init__()
        self.step, self.found = None, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.step = state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        self.step = None

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if self.step is not None and name in _WAITS:
            self.found.append((self.step, name))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("flags", [["--muon"], ["--no_muon"], ["--precision", "bfloat16"]])
def test_a_step_waits_for_no_device(flags, datasets_once, prefix, tiny):
    trainer = prepared([*tiny, *flags, "--logging_steps", "100"], prefix)
    waits = _Waits()
    trainer.add_callback(waits)
    with waits:
        trainer.train()
    assert trainer.state.global_step == 4 and waits.found == []


def test_an_operator_that_waits_is_found(datasets_once, prefix, tiny):
    trainer = prepared([*tiny, "--logging_steps", "100"], prefix)
    waits = _Waits()
    step = trainer.training_step
    trainer.training_step = lambda *args: (loss := step(*args), loss.item())[0]
    trainer.add_callback(waits)
    with waits:
        trainer.train()
    assert {name for _, name in waits.found} == {"_local_scalar_dense"}


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_replay_computes_what_the_pass_computes(dtype, datasets_once, prefix, tiny):
    trainer = prepared([word for word in tiny if word != "--use_cpu"], prefix)
    model, rows = trainer.unwrapped_model.train(), trainer.train_dataset
    rows.fixed_width = True
    compile_training(model, 0)
    for start in (0, 8, 16):
        batch = rows.__getitems__(list(range(start, start + 8)))
        batch["known"] |= {name: batch["known"][name].cuda() for name in ("order_B", "place_A", "label_A")}
        expected, gradients = loss_and_gradients(model, batch, dtype, 0)
        loss, replayed = loss_and_gradients(model, batch, dtype, 8)
        near = 1e-3 if dtype == torch.float32 else 2e-2  # kernels that add up in no fixed order, TF32
        torch.testing.assert_close(loss, expected, rtol=near, atol=0)
        for one, other in zip(replayed, gradients, strict=True):
            assert (one - other).norm() <= near * other.norm()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.01)  # the next replay must see it
    assert model.graphed_loss.recorded is not None


def loss_and_gradients(model, batch, dtype, compiled_rows):
    """Returns copies: while a loss lives, its nodes of autograd are of another stream than the recording's."""
    model.compiled_rows = compiled_rows
    with torch.autocast("cuda", dtype, dtype != torch.float32):
        loss = model(**batch, num_items_in_batch=torch.tensor(40, device="cuda")).loss
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return loss.detach().clone(), [gradient.clone() for gradient in gradients]


@on_gpu
def test_a_resumed_run_is_replayed_as_before(prefix, tiny):
    assert_resumed_is_uninterrupted([word for word in tiny if word != "--use_cpu"], prefix)
    for name in ("whole", "halves"):
        assert json.loads((prefix / name / "settings.json").read_text())["compiled"] is True


@on_gpu
def test_training_rows_lie_on_the_gpu(datasets_once, prefix, tiny):
    trainer = prepared([word for word in tiny if word != "--use_cpu"], prefix)
    assert trainer.train_dataset.__getitems__([0, 1])["input_ids"].device.type == "cuda"
    assert trainer.rows["memorisation"].__getitems__([0, 1])["input_ids"].device.type == "cpu"
