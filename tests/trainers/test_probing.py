"""What probes stand on: hidden states read in batches, linear CKA, weights that are frozen or pulled to their start."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers import refusal
from tokenization.characters import BOS_ID, EOS_ID, PAD_ID, VOCABULARY
from trainers.callbacks.control import PullToStart
from trainers.errors import UserError
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.models.warm_start import freeze
from trainers.probes import probe as probe_module
from trainers.probes.probe import extract_hidden_states, linear_cka
from trainers.run import main

SPECIAL_IDS = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
PROMPTS = [f"dist(c_{number},c_" for number in (7, 5074, 12, 0, 300, 98765, 41, 5)]


def decoder(**sizes):
    torch.manual_seed(0)
    return build_decoder(DecoderOptions(**{**SIZES, "init_scale": 0.3, **sizes}), 44, 32, SPECIAL_IDS)


@torch.no_grad()
def one_by_one(model, prompts, blocks, tokens):
    """The states of every prompt alone, its tokens fed one after another; each block's output is caught by a hook."""
    caught = {}

    def catch(name):
        return lambda module, args, output: caught.__setitem__(name, output[0, -1] if output.ndim == 3 else output[-1])

    n = model.config.num_hidden_layers
    parts = {0: model.model.embed_tokens, **{b: model.model.layers[b - 1] for b in range(1, n)}, n: model.model.norm}
    handles = [part.register_forward_hook(catch(block)) for block, part in parts.items()]
    found = []
    for prompt in prompts:
        cache, states_LD = None, []
        for token in ("<bos>", *prompt):
            output = model(torch.tensor([[VOCABULARY.index(token)]]), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            states_LD.append(torch.stack([caught[block] for block in blocks]))
        found.append(torch.stack(states_LD[-tokens:], dim=1))
    for handle in handles:
        handle.remove()
    return torch.stack(found).numpy()


# --- hidden states


@pytest.mark.parametrize("model_type", ["qwen2", "llama"])
@pytest.mark.parametrize("blocks, tokens", [([1, 2, 3], 3), ([0], 1), ([3, 0], 2), ([2], 7)])
def test_hidden_states_are_those_of_each_prompt_alone_token_by_token(model_type, blocks, tokens, monkeypatch):
    monkeypatch.setattr(probe_module, "_PROMPTS_AT_ONCE", 3)  # the last batch has two
    model = decoder(model_type=model_type).eval()
    found = extract_hidden_states(model, PROMPTS, blocks, tokens)
    assert found.shape == (len(PROMPTS), len(blocks), tokens, 16) and found.dtype == np.float32
    expected = one_by_one(model, PROMPTS, blocks, tokens)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("mode", [True, False])
def test_dropout_is_off_while_states_are_read_and_the_mode_is_given_back(mode):
    model = decoder()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    expected = one_by_one(model.eval(), PROMPTS, [3], 2)
    model.train(mode)
    np.testing.assert_allclose(extract_hidden_states(model, PROMPTS, [3], 2), expected, atol=1e-5)
    assert {module.training for module in model.modules()} == {mode}


def test_reading_leaves_no_gradient_behind():
    model = decoder()
    extract_hidden_states(model, PROMPTS, [1], 1)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("blocks", [[4], [1, 5], [-1], [0, -2]])
def test_a_block_that_does_not_exist_is_refused(blocks):
    bad = next(block for block in blocks if block not in range(4))
    with refusal(bad, 3):
        extract_hidden_states(decoder(), PROMPTS, blocks, 1)


def test_more_tokens_than_a_prompt_has_are_refused():
    """`<bos>5` has two tokens; the third from the end does not exist."""
    with pytest.raises(UserError):
        extract_hidden_states(decoder(), ["dist(c_", "5"], [1], 3)


# --- linear CKA


def hsic_cka(x_ND, y_NE):
    """Kornblith et al. 2019, eq. 3 and 4: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the n x n Gram matrices."""
    n = len(x_ND)
    centre = np.eye(n) - np.ones((n, n)) / n

    def hsic(k, other):
        return np.trace(k @ centre @ other @ centre) / (n - 1) ** 2

    k, other = x_ND @ x_ND.T, y_NE @ y_NE.T
    return hsic(k, other) / np.sqrt(hsic(k, k) * hsic(other, other))


def related(rng, n=60, d=7, e=4):
    """Two representations with something, but not everything, in common."""
    x_ND = rng.normal(size=(n, d)) * rng.uniform(0.2, 3, d)
    return x_ND, x_ND[:, :e] @ rng.normal(size=(e, e)) + rng.normal(size=(n, e))


@pytest.mark.parametrize("seed", range(5))
def test_cka_is_the_hsic_of_centred_gram_matrices(seed):
    x_ND, y_NE = related(np.random.default_rng(seed))
    x_ND, y_NE = x_ND + 3, y_NE - 2
    expected = hsic_cka(x_ND, y_NE)
    assert 0.1 < expected < 0.95
    assert linear_cka(x_ND, y_NE) == pytest.approx(expected, rel=1e-9)
    assert linear_cka(y_NE, x_ND) == pytest.approx(expected, rel=1e-9)
    assert linear_cka(x_ND.astype(np.float32), y_NE.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_cka_is_1_for_the_same_and_for_rotated_scaled_and_shifted_copies():
    rng = np.random.default_rng(0)
    x_ND = rng.normal(size=(50, 6)) * [1, 2, 3, 4, 5, 6]
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert linear_cka(x_ND, x_ND) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x_ND, -0.01 * x_ND @ rotation + 100) == pytest.approx(1, abs=1e-9)
    assert linear_cka(x_ND, np.pad(x_ND, [(0, 0), (3, 0)])) == pytest.approx(1, abs=1e-12)
    assert linear_cka(x_ND, x_ND * [1, 0.5, 0.33, 0.25, 0.2, 0.17]) < 0.95  # other scales of its axes are no rotation


def test_cka_of_independent_features_is_what_chance_gives():
    rng = np.random.default_rng(0)
    n, d, e = 4000, 8, 5
    found = [linear_cka(rng.normal(size=(n, d)), rng.normal(size=(n, e))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(np.sqrt(d * e) / n, rel=0.3) and max(found) < 0.005


def test_cka_with_what_is_constant_is_0():
    assert linear_cka(np.ones((10, 3)), np.random.default_rng(0).normal(size=(10, 2))) == 0.0


# --- frozen weights


def frozen(model):
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


@pytest.mark.parametrize(
    "parts, is_named",
    [
        ("layers.1", lambda name: name.startswith("model.layers.1.")),
        ("layers.10", lambda name: name.startswith("model.layers.10.")),
        ("embed_tokens,layers.0.mlp", lambda name: "embed_tokens" in name or name.startswith("model.layers.0.mlp.")),
        ("lm_head", lambda name: name == "lm_head.weight"),
        ("bias", lambda name: name.endswith(".bias")),
        ("norm", lambda name: name == "model.norm.weight"),  # and not input_layernorm
        ("model.layers.2.self_attn.q_proj.weight", lambda name: name == "model.layers.2.self_attn.q_proj.weight"),
    ],
)
def test_exactly_the_named_weights_are_frozen(parts, is_named):
    model = decoder(num_hidden_layers=11)
    freeze(model, parts)
    expected = {name for name, _ in model.named_parameters() if is_named(name)}
    assert expected and frozen(model) == expected


@pytest.mark.parametrize(
    "parts", ["nonsense", "layers.3", "layer", "ayers.1", "embed_tokens,", "embed_tokens, lm_head"]
)
def test_a_part_that_is_in_no_name_is_refused(parts):
    with refusal("--freeze", "model.embed_tokens.weight"):
        freeze(decoder(), parts)


@pytest.mark.parametrize("parts", ["model,lm_head", "weight,bias", "embed_tokens,layers,norm,lm_head"])
def test_freezing_everything_is_refused(parts):
    with refusal("--freeze", parts):
        freeze(decoder(), parts)


def tiny_run(tiny, folder, *more):
    """Train without warm-up, so that the first step has the full learning rate; weights at the first and last step."""
    steps = ["--lr_scheduler_type", "constant", "--warmup_steps", "0", "--learning_rate", "1e-2", "--max_steps", "2"]
    assert main([*tiny, "--no_muon", *steps, "--output_dir", str(folder), *more]) == 0
    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return tuple(load_file(path / "model.safetensors") for path in (folder / "checkpoint-0", last))


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    "parts, more",
    [
        ("embed_tokens,layers.0", ["--num_hidden_layers", "2"]),
        ("embed_tokens,layers.0", ["--num_hidden_layers", "2", "--muon"]),
        ("layers", ["--muon"]),  # nothing is left for Muon
        ("embed_tokens,lm_head,norm,input_layernorm,post_attention_layernorm", ["--muon", "--model_type", "llama"]),
    ],
    ids=["adamw", "muon", "muon with nothing to do", "muon with everything to do"],
)
def test_a_run_leaves_frozen_weights_bitwise_as_they_are_and_changes_all_others(parts, more, prefix, tiny):
    before, after = tiny_run(tiny, prefix / "run", "--freeze", parts, *more)
    kept = {name for name in before if any(f".{part}." in f".{name}." for part in parts.split(","))}
    assert kept and changed(before, after) == before.keys() - kept
    assert json.loads((prefix / "run" / "settings.json").read_text())["resolved"]["freeze"] == parts


# --- the pull to the start


def pulled(start, moved, strength, lr):
    """Weights after one call of the callback, when an optimizer has put them from `start` to `moved`."""
    model = torch.nn.Linear(1, len(start), bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(start)[:, None])
    callback = PullToStart(model, strength)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(moved)[:, None])
    callback.on_optimizer_step(None, None, None, optimizer=SimpleNamespace(param_groups=[{"lr": lr}]))
    return model.weight.detach()[:, 0].tolist()


def test_the_pull_is_a_share_of_the_way_back():
    assert pulled([1.0, -2.0, 0.0], [3.0, -2.0, -8.0], 2.5, 0.1) == pytest.approx([2.5, -2.0, -6.0])


@pytest.mark.parametrize("strength", [10.0, 11.0, 1e9])
def test_the_pull_never_goes_past_the_start(strength):
    start = [0.1, -0.7, 1e-8]
    assert pulled(start, [3.0, 5.0, -1e8], strength, 0.1) == torch.tensor(start).tolist()


def test_the_pull_follows_the_learning_rate():
    assert pulled([0.0], [1.0], 2.0, 0.0) == [1.0] and pulled([0.0], [1.0], 2.0, 0.25) == [0.5]


def test_frozen_weights_are_not_pulled():
    model = decoder()
    freeze(model, "layers")
    pairs = PullToStart(model, 1.0).pairs
    assert {id(weight) for weight, _ in pairs} == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("muon", ["--no_muon", "--muon"])
def test_the_first_step_of_a_pulled_run_is_that_of_a_free_run_shortened_by_lr_times_strength(muon, prefix, tiny):
    one_step = ["--max_steps", "1", "--eval_steps", "1", "--seed", "7", muon]
    start, free = tiny_run(tiny, prefix / "free", *one_step)
    again, found = tiny_run(tiny, prefix / "pulled", *one_step, "--l2_to_start", "30")
    assert not changed(start, again) and changed(start, free) == start.keys()
    for name in start:
        torch.testing.assert_close(found[name], start[name] + (1 - 0.01 * 30) * (free[name] - start[name]))


def test_a_strong_pull_ends_at_the_start_and_a_tiny_one_changes_nothing(prefix, tiny):
    _, free = tiny_run(tiny, prefix / "free")
    start, strong = tiny_run(tiny, prefix / "strong", "--l2_to_start", "100")
    _, weak = tiny_run(tiny, prefix / "weak", "--l2_to_start", "1e-12")
    assert not changed(start, strong)
    assert not changed(free, weak)


def test_a_resumed_run_is_pulled_to_where_it_first_started(prefix, tiny):
    common = ["--max_grad_norm", "1", "--l2_to_start", "30", "--max_steps"]
    _, whole = tiny_run(tiny, prefix / "whole", *common, "4")
    _, half = tiny_run(tiny, prefix / "halves", *common, "2")
    _, found = tiny_run(tiny, prefix / "halves", *common, "4", "--resume_from_checkpoint", "last")
    assert changed(half, found) and not changed(whole, found)
