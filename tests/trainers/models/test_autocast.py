"""What is kept out of autocast: attention on a CPU, and models that answer."""

import torch
import torch.nn.functional as F
from torch import nn

from trainers.models.autocast import in_float32, without_autocast

seen = []


@in_float32
def attend(query, keys, values, scale=None):
    seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
    return F.scaled_dot_product_attention(query, keys, values, scale=scale)


def parts(dtype):
    torch.manual_seed(0)
    return [torch.randn(2, 2, 5, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


def test_it_is_in_float32_within_autocast_and_its_result_in_the_querys_type():
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16):
            mixed = attend(*parts(dtype), scale=0.5)
        assert seen[-1] == (torch.float32, False) and mixed.dtype == dtype
        exact = F.scaled_dot_product_attention(*(part.float() for part in parts(dtype)), scale=0.5)
        torch.testing.assert_close(mixed, exact.to(dtype))


def test_gradients_are_those_of_float32_rounded():
    ours, exact = parts(torch.bfloat16), parts(torch.float32)
    with torch.no_grad():
        for one, other in zip(exact, ours, strict=True):
            one.copy_(other)
    with torch.autocast("cpu", torch.bfloat16):
        attend(*ours).float().square().sum().backward()
    F.scaled_dot_product_attention(*exact).square().sum().backward()
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=0.05, atol=0.05)


def test_outside_autocast_nothing_changes():
    for dtype in (torch.float32, torch.float64):
        mixed = attend(*parts(dtype))
        assert seen[-1] == (dtype, False) and mixed.dtype == dtype


def test_a_prepared_model_computes_as_its_saved_weights_do_and_is_given_back_as_it_was():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4))
    x = torch.randn(8, 16)
    exact = model(x)
    AcceleratorState._reset_state()
    prepared = Accelerator(mixed_precision="bf16", cpu=True).prepare_model(model)
    AcceleratorState._reset_state()
    rounded = prepared(x)
    assert not torch.equal(rounded, exact)
    with torch.autocast("cpu", torch.bfloat16), without_autocast(prepared):
        assert torch.equal(prepared(x), exact)
    assert torch.equal(prepared(x), rounded)
