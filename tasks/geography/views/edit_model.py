"""Let a model answer prompts while the state of one token, at the outputs of some blocks, is another one."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tokenization.characters import VOCABULARY, ColumnEncoder, Vocabulary
from trainers.errors import UserError
from trainers.models.autocast import without_autocast

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPTS_AT_ONCE = 256


@torch.no_grad()
def answers_with(
    model: "PreTrainedModel",
    prompts: Sequence[str],
    token_N: np.ndarray,
    states: Mapping[int, np.ndarray],
    most_generated: int,
    vocabulary: Vocabulary = VOCABULARY,
) -> list[str]:
    """Return greedy answers to prompts; the model is afterwards what it was.

    Args:
        model: In evaluation mode, a decoder with its blocks in `model.layers`.
        prompts: Texts without `<bos>`.
        token_N: The token of each prompt whose state is another one, `<bos>` being token 0.
        states: Block, from 1 -> what is there instead of its output, (N, D). None: the model as it is.
        most_generated: Tokens that an answer has at most.

    Raises:
        UserError: The blocks are not where those of Qwen2 or Llama are.
    """
    encoder = ColumnEncoder(vocabulary)
    encoded = encoder.encode(prompts, [""] * len(prompts))
    answers = np.full(len(prompts), "", dtype=object)
    for rows in _batches(encoded.prompt_len_N):
        ids_BP = torch.from_numpy(encoded.ids_NT[rows, : encoded.prompt_len_N[rows[0]]]).long().to(model.device)
        with _replaced(model, token_N[rows], {block: of_N[rows] for block, of_N in states.items()}):
            answers[rows] = encoder.decode(_generate(model, ids_BP, most_generated))
    return answers.tolist()


def _batches(length_N: np.ndarray) -> Iterator[np.ndarray]:
    for length in np.unique(length_N):
        rows = np.flatnonzero(length_N == length)
        yield from (rows[start : start + _PROMPTS_AT_ONCE] for start in range(0, len(rows), _PROMPTS_AT_ONCE))


def _generate(model: Any, ids_BP: torch.Tensor, most_generated: int) -> np.ndarray:
    """Use transformers' own `generate`: the stack's decoder does not call the blocks, so it cannot be edited."""
    with without_autocast(model):
        generated = model.generate(
            ids_BP, attention_mask=torch.ones_like(ids_BP), max_new_tokens=most_generated, do_sample=False
        )
    return generated[:, ids_BP.shape[1] :].cpu().numpy()


@contextlib.contextmanager
def _replaced(model: Any, token_B: np.ndarray, states: Mapping[int, np.ndarray]) -> Iterator[None]:
    """Put states where blocks have written theirs, in passes over whole prompts; later tokens are left as they are."""
    layers = getattr(model.get_decoder(), "layers", None)
    if layers is None:
        raise UserError(
            f"the blocks of {model.config.model_type} are not known to --edit;"
            " look at a model of --model_type qwen2 or llama"
        )
    column_B = torch.from_numpy(token_B).to(model.device)
    handles = [
        layers[block - 1].register_forward_hook(_hook(column_B, torch.from_numpy(of_BD).float().to(model.device)))
        for block, of_BD in states.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(column_B: torch.Tensor, state_BD: torch.Tensor) -> Callable[..., torch.Tensor | None]:
    def put(module: Any, inputs: Any, output_BTD: torch.Tensor) -> torch.Tensor | None:
        if output_BTD.shape[1] == 1:
            return None
        output_BTD = output_BTD.clone()
        output_BTD[torch.arange(len(column_B), device=column_B.device), column_B] = state_BD
        return output_BTD

    return put
