"""Greedy answers to many prompts: few large batches, left padding, a key/value cache, every process its share."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def left_padded(ids_NT: np.ndarray, prompt_len_N: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Prompts moved to the right edge, as generation needs them.

    Arguments:
        ids_NT: right-padded rows that begin with the prompt.
        prompt_len_N: tokens of each prompt.

    Returns:
        ids_NP and mask_NP (int64), P the longest prompt, `pad_id` and 0 left of every prompt.
    """
    width = int(prompt_len_N.max())
    column_NP = np.arange(width)[None] - (width - prompt_len_N)[:, None]
    mask_NP = column_NP >= 0
    ids_NP = np.take_along_axis(ids_NT.astype(np.int64), np.maximum(column_NP, 0), axis=1)
    return np.where(mask_NP, ids_NP, pad_id), mask_NP.astype(np.int64)


@torch.no_grad()
def generate_answers(
    model: "PreTrainedModel", ids_NT: np.ndarray, prompt_len_N: np.ndarray, max_new_tokens: int, batch_size: int
) -> np.ndarray:
    """Return the tokens that follow each prompt, greedily decoded: (N, max_new_tokens) int64, padded after `<eos>`.

    Arguments:
        model: an unwrapped causal language model whose generation config names its pad and eos tokens.
        ids_NT: right-padded rows that begin with the prompt; prompt_len_N: tokens of each prompt.
        batch_size: prompts decoded at a time by one process.

    Under several processes each decodes every world-th row, and all of them return the complete array.
    """
    state = PartialState()
    mine = np.arange(len(ids_NT))[state.process_index :: state.num_processes]
    mine = mine[np.argsort(prompt_len_N[mine], kind="stable")]  # equal lengths together: less padding
    pad_id = int(model.generation_config.pad_token_id)  # pyright: ignore[reportOptionalMemberAccess,reportArgumentType]
    answers = [
        (rows, _decode_batch(model, *left_padded(ids_NT[rows], prompt_len_N[rows], pad_id), max_new_tokens, pad_id))
        for rows in (mine[start : start + batch_size] for start in range(0, len(mine), batch_size))
    ]
    if state.num_processes > 1:
        answers = gather_object(answers)
    result_NA = np.full((len(ids_NT), max_new_tokens), pad_id, dtype=np.int64)
    for rows, tokens in answers:
        result_NA[rows] = tokens
    return result_NA


def _decode_batch(
    model: "PreTrainedModel", ids_BP: np.ndarray, mask_BP: np.ndarray, max_new_tokens: int, pad_id: int
) -> np.ndarray:
    device = model.device
    output = model.generate(  # pyright: ignore[reportCallIssue]
        torch.from_numpy(ids_BP).to(device),
        attention_mask=torch.from_numpy(mask_BP).to(device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )
    tokens = output[:, ids_BP.shape[1] :].cpu().numpy()
    return np.pad(tokens, ((0, 0), (0, max_new_tokens - tokens.shape[1])), constant_values=pad_id)
