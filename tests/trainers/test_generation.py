"""Generated answers do not depend on padding, batching or order, and are the model's own greedy choice."""

import numpy as np
import pytest
import torch

from tokenization.characters import BOS_ID, EOS_ID, PAD_ID, VOCABULARY, ColumnEncoder
from trainers.generation import generate_answers, left_padded
from trainers.modeling import DecoderOptions, build_decoder

PROMPTS = ["loc(c_1)=", "loc(c_12)=", "loc(c_123)=", "loc(c_4074)=", "dist(c_1,c_22)=", "a", "loc(c_9)="]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    options = DecoderOptions(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, init_scale=0.4)
    special_ids = {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    return build_decoder(options, len(VOCABULARY), 64, special_ids).eval()


@pytest.fixture(scope="module")
def rows():
    return ColumnEncoder().encode(PROMPTS, ["12,34"] * len(PROMPTS))


def one_by_one(model, rows, new_tokens):
    """Greedy decoding of the simplest kind: no padding, no cache, one token after another."""
    answers = np.full((len(rows.ids_NT), new_tokens), PAD_ID)
    for i, length in enumerate(rows.prompt_len_N):
        ids = rows.ids_NT[i, :length].tolist()
        for j in range(new_tokens):
            with torch.no_grad():
                answers[i, j] = model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()
            ids.append(int(answers[i, j]))
            if answers[i, j] == EOS_ID:
                break
    return answers


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_answers_are_the_greedy_choice_whatever_the_batch(model, rows, batch_size):
    expected = one_by_one(model, rows, 12)
    assert len(np.unique(expected)) > 3  # the test would see a difference
    assert np.array_equal(generate_answers(model, rows.ids_NT, rows.prompt_len_N, 12, batch_size), expected)


def test_the_expected_answer_does_not_leak_into_the_prompt(model, rows):
    other = ColumnEncoder().encode(PROMPTS, ["9,9"] * len(PROMPTS))
    first = generate_answers(model, rows.ids_NT, rows.prompt_len_N, 8, 4)
    assert np.array_equal(first, generate_answers(model, other.ids_NT, other.prompt_len_N, 8, 4))


def test_left_padding_moves_prompts_to_the_right_edge(rows):
    ids_NP, mask_NP = left_padded(rows.ids_NT, rows.prompt_len_N, PAD_ID)
    assert ids_NP.shape == (len(PROMPTS), rows.prompt_len_N.max())
    for i, length in enumerate(rows.prompt_len_N):
        assert mask_NP[i].tolist() == [0] * (ids_NP.shape[1] - length) + [1] * length
        assert ids_NP[i, -length:].tolist() == rows.ids_NT[i, :length].tolist()
        assert (ids_NP[i, :-length] == PAD_ID).all()


def test_future_tokens_and_padding_change_nothing_before_them(model, rows):
    ids = torch.from_numpy(rows.ids_NT[:1].astype(np.int64))
    longer = torch.cat([ids, torch.full((1, 9), PAD_ID)], dim=1)
    changed = ids.clone()
    changed[0, 8:] = 5
    with torch.no_grad():
        logits, padded, after = (model(x).logits for x in (ids, longer, changed))
    assert torch.allclose(logits, padded[:, : ids.shape[1]], atol=1e-5)
    assert torch.allclose(logits[:, :8], after[:, :8], atol=1e-5) and not torch.allclose(logits[:, 8:], after[:, 8:])
