"""Models from sizes: parameter counts, initialisation, and Muon's share of the parameters."""

import copy
import math

import pytest
import torch

from tests.helpers import refusal
from tokenization.characters import BOS_ID, EOS_ID, PAD_ID
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.optim.muon import MuonWithRest, split_parameters

SPECIAL_IDS = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}


def decoder(**sizes):
    return build_decoder(DecoderOptions(**sizes), 44, 32, SPECIAL_IDS)


@pytest.mark.parametrize(
    ("width", "depth", "mlp", "parameters"),
    [(64, 4, 256, 269_120), (128, 6, 512, 1_588_096), (128, 4, 512, 1_062_528), (64, 6, 256, 400_832)],
)
def test_the_documented_sizes_have_the_documented_parameter_counts(width, depth, mlp, parameters):
    model = decoder(hidden_size=width, num_hidden_layers=depth, intermediate_size=mlp)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("scale", [0.001, 0.02, 0.1])
def test_init_scale_is_the_spread_of_every_linear_and_embedding_weight(scale):
    model = decoder(hidden_size=64, init_scale=scale)
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            n = module.weight.numel()
            assert module.weight.std().item() == pytest.approx(scale, rel=5 / math.sqrt(n))
            assert abs(module.weight.mean().item()) < 5 * scale / math.sqrt(n)
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            assert not module.bias.any()


def test_an_untrained_model_is_as_uncertain_as_chance():
    ids = torch.randint(3, 44, (8, 20))
    with torch.no_grad():
        assert float(decoder(init_scale=0.02)(ids, labels=ids).loss) == pytest.approx(math.log(44), abs=0.1)


def test_llama_is_one_flag_away():
    assert decoder(model_type="llama").config.model_type == "llama"


def test_heads_must_fit_the_width():
    with refusal("--hidden_size", 64, "--num_attention_heads", 3):
        decoder(hidden_size=64, num_attention_heads=3)


def test_muon_gets_the_hidden_matrices_and_nothing_else():
    model = decoder(num_hidden_layers=2)
    hidden, rest = split_parameters(model)
    assert len(hidden) == 2 * 7 and all(p.ndim == 2 for p in hidden)
    assert {name for name, p in rest if p.ndim == 2} == {"model.embed_tokens.weight", "lm_head.weight"}
    assert len(hidden) + len(rest) == len(list(model.parameters()))


def test_muon_leaves_tied_embeddings_alone():
    hidden, rest = split_parameters(decoder(num_hidden_layers=1, tie_word_embeddings=True))
    assert len(hidden) == 7 and [name for name, p in rest if p.ndim == 2] == ["model.embed_tokens.weight"]


def optimizer_of(model, lr=0.01):
    hidden, rest = split_parameters(model)
    return MuonWithRest(
        torch.optim.Muon(hidden, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([p for _, p in rest], lr=lr, weight_decay=0.0),
    )


def steps(model, optimizer, n):
    for _ in range(n):
        ids = torch.arange(3, 23).repeat(4, 1)
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_both_parts_move_their_parameters_and_obey_one_scheduler():
    model = decoder(num_hidden_layers=1)
    optimizer = optimizer_of(model)
    before = [p.detach().clone() for p in model.parameters()]
    steps(model, optimizer, 1)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    frozen = [p.detach().clone() for p in model.parameters()]
    steps(model, optimizer, 1)
    assert all(torch.equal(a, b) for a, b in zip(frozen, model.parameters(), strict=True))
    assert scheduler.get_last_lr() == [0.0, 0.0]


def test_saving_and_loading_the_optimiser_changes_nothing():
    torch.manual_seed(0)
    model, twin = decoder(num_hidden_layers=1), decoder(num_hidden_layers=1)
    optimizer, other = optimizer_of(model), optimizer_of(twin)
    steps(model, optimizer, 2)
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(model, optimizer, 2)
    steps(twin, other, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
