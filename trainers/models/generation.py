"""Generate greedy answers to many prompts in large batches without padding, shared by all processes."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from trainers.models.autocast import without_autocast
from trainers.models.fused_blocks import is_supported
from trainers.models.greedy_decoder import GreedyDecoder

Decode = Callable[[torch.Tensor], torch.Tensor]
"""Prompts of one length (B, P) -> the tokens that follow, (B, at most max_new_tokens)."""


@torch.no_grad()
def generate_answers(
    model: PreTrainedModel, ids_NT: np.ndarray, prompt_len_N: np.ndarray, max_new_tokens: int, batch_size: int
) -> np.ndarray:
    """Return the tokens that follow each prompt, greedily decoded: (N, max_new_tokens) int64, padded after `<eos>`.

    Of several processes each decodes every world-th row, and all return the complete array. Under FSDP, which gathers
    weights only while all processes call a layer, all decode all rows.

    Args:
        model: An unwrapped causal language model whose generation config names its pad and eos tokens.
        ids_NT: Right-padded rows that begin with the prompt.
        prompt_len_N: Tokens of each prompt.
        batch_size: Prompts that one process decodes at a time.
    """
    state, is_sharded = PartialState(), isinstance(next(model.parameters()), DTensor)
    mine = np.arange(len(ids_NT))
    if not is_sharded:
        mine = mine[state.process_index :: state.num_processes]
    pad_id = int(model.generation_config.pad_token_id)  # pyright: ignore[reportOptionalMemberAccess,reportArgumentType]
    decode = _fast(model, max_new_tokens, pad_id) if is_supported(model) else _stock(model, max_new_tokens)
    answers = []
    for rows in _batches(mine, ids_NT, prompt_len_N, batch_size):
        ids_BP = torch.from_numpy(ids_NT[rows, : prompt_len_N[rows[0]]].astype(np.int64))
        answers.append((rows, decode(ids_BP).cpu().numpy()))
    if state.num_processes > 1 and not is_sharded:
        answers = gather_object(answers)
    result_NA = np.full((len(ids_NT), max_new_tokens), pad_id, dtype=np.int64)
    for rows, tokens in answers:
        result_NA[rows, : tokens.shape[1]] = tokens
    return result_NA


def _batches(rows_N: np.ndarray, ids_NT: np.ndarray, prompt_len_N: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield at most `batch_size` rows with prompts of one length."""
    for length in np.unique(prompt_len_N[rows_N]):
        alike = rows_N[prompt_len_N[rows_N] == length]
        alike = alike[np.lexsort(ids_NT[alike, :length].T[::-1])]
        yield from (alike[start : start + batch_size] for start in range(0, len(alike), batch_size))


def _fast(model: PreTrainedModel, max_new_tokens: int, pad_id: int) -> Decode:
    eos_id = int(model.generation_config.eos_token_id)  # pyright: ignore[reportOptionalMemberAccess,reportArgumentType]
    return partial(GreedyDecoder(model).decode, max_new_tokens=max_new_tokens, eos_id=eos_id, pad_id=pad_id)


def _stock(model: PreTrainedModel, max_new_tokens: int) -> Decode:
    """Use transformers' own `generate`, for models that `GreedyDecoder` does not know."""
    generate = partial(model.generate, max_new_tokens=max_new_tokens, do_sample=False)  # pyright: ignore

    def decode(ids_BP: torch.Tensor) -> torch.Tensor:
        with without_autocast(model):
            ids_BP = ids_BP.to(model.device)
            return generate(ids_BP, attention_mask=torch.ones_like(ids_BP))[:, ids_BP.shape[1] :]

    return decode
