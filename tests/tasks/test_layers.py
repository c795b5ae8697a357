"""Rotary positions and attention, against transformers and a plain softmax."""

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from tests.helpers import gap
from trainers.models.blocks import Attention, apply_rotary, rotary_table


def test_rotary_positions_along_a_sequence_are_llamas():
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 4, 40, 16)
    places = torch.randint(0, 900, (3, 40))
    llama = LlamaRotaryEmbedding(LlamaConfig(hidden_size=64, num_attention_heads=4))
    by = rotary_table([places], 16)
    for expected, x in zip(apply_rotary_pos_emb(query, key, *llama(query, places)), (query, key), strict=True):
        assert gap(apply_rotary(x, by), expected) < 1e-4  # angles up to 900 have no more digits


@pytest.mark.parametrize("n_axes", [1, 2])
def test_attention_scores_depend_on_relative_places_alone(n_axes):
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 12, 16)
    places = [torch.randint(0, 20, (1, 12)) for _ in range(n_axes)]

    def scores(moved, *shifts):
        turned = rotary_table([place + shift for place, shift in zip(places, shifts, strict=True)], 16)
        return apply_rotary(query, turned) @ apply_rotary(key, turned if moved else rotary_table(places, 16)).transpose(
            -1, -2
        )

    here = scores(True, *[0] * n_axes)
    assert gap(scores(True, *[5, 9][:n_axes]), here) < 1e-4
    for axis in range(n_axes):  # and on those along each axis
        assert gap(scores(False, *[3 * (axis == other) for other in range(n_axes)]), here) > 0.1


@pytest.mark.parametrize("n_axes", [1, 2])
def test_rotation_keeps_lengths_and_leaves_place_0_alone(n_axes):
    x = torch.randn(1, 2, 12, 16, generator=torch.Generator().manual_seed(0))
    assert (
        torch.equal(apply_rotary(x, rotary_table([torch.zeros(1, 12)] * n_axes, 16)), x) and apply_rotary(x, None) is x
    )
    assert torch.allclose(
        apply_rotary(x, rotary_table([torch.arange(12)[None]] * n_axes, 16)).norm(dim=-1), x.norm(dim=-1)
    )


def test_attention_with_padding_masked_is_attention_without_padding():
    torch.manual_seed(0)
    attention, x, memory = Attention(16, 2), torch.randn(1, 5, 16), torch.randn(1, 9, 16)
    rotated, own = rotary_table([torch.arange(9)[None]], 8), rotary_table([torch.arange(5)[None]], 8)
    mask = (torch.arange(9) < 6)[None, None, None]
    found = attention(x, attention.keys_values(memory, rotated), own, mask)
    short = rotary_table([torch.arange(6)[None]], 8)
    assert gap(found, attention(x, attention.keys_values(memory[:, :6], short), own)) < 1e-6


def test_causal_attention_is_a_plain_softmax_over_what_came_before():
    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(2, 7, 16)
    found = attention(x, attention.keys_values(x, None), None, causal=True)
    query, key, value = (
        part(x).view(2, 7, 2, 8).transpose(1, 2) for part in (attention.query, attention.key, attention.value)
    )
    scores = (query @ key.transpose(-1, -2) / math.sqrt(8)).masked_fill(~torch.ones(7, 7).tril().bool(), -torch.inf)
    assert gap(found, attention.output((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))) < 1e-5
