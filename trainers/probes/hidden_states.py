"""Extract hidden states of prompts, and compare representations by linear CKA."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from tokenization import VocabularyError
from tokenization.characters import VOCABULARY, ColumnEncoder, Vocabulary
from trainers.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPTS_AT_ONCE = 1024


@torch.no_grad()
def extract_hidden_states(
    model: "PreTrainedModel",
    prompts: Sequence[str],
    blocks: Sequence[int],
    tokens: int,
    vocabulary: Vocabulary = VOCABULARY,
) -> np.ndarray:
    """Return outputs of blocks at the last tokens of prompts, (N, len(blocks), tokens, D) float32.

    Args:
        model: A causal language model over the tokens of `vocabulary`.
        prompts: Texts without `<bos>`.
        blocks: 0 is the embedding, b the output of block b; that of the last block has gone through the final norm.

    Raises:
        UserError: the model has no such block, or the prompts do not fit.
    """
    n_blocks = int(model.config.num_hidden_layers)
    if bad := [block for block in blocks if not 0 <= block <= n_blocks]:
        raise UserError(f"block {bad[0]} is asked for, but the model has the blocks 1 to {n_blocks} (0: the embedding)")
    try:
        encoded = ColumnEncoder(vocabulary).encode(prompts, [""] * len(prompts))
    except VocabularyError as error:
        raise UserError(f"the prompts do not fit the tokenizer: {error}") from error
    if (shortest := int(encoded.prompt_len_N.min())) < tokens:
        raise UserError(f"{tokens} tokens are read, but a prompt has {shortest}; give a longer one")
    was_training = model.training
    model.eval()
    parts = []
    for begin in range(0, len(prompts), _PROMPTS_AT_ONCE):
        part = slice(begin, begin + _PROMPTS_AT_ONCE)
        ids_NT = torch.from_numpy(encoded.ids_NT[part]).long().to(model.device)
        # Padding is on the right, where a causal model's real tokens cannot see it.
        output = model(ids_NT, output_hidden_states=True, logits_to_keep=1)
        column_NK = (torch.from_numpy(encoded.prompt_len_N[part])[:, None] + torch.arange(-tokens, 0)).to(model.device)
        row_N1 = torch.arange(len(ids_NT), device=model.device)[:, None]
        parts.append(torch.stack([output.hidden_states[block][row_N1, column_NK] for block in blocks], dim=1))
    model.train(was_training)
    return torch.cat(parts).float().cpu().numpy()


def linear_cka(x_ND: np.ndarray, y_NE: np.ndarray) -> float:
    """Return the similarity, 0 to 1, of two representations of the same N things, blind to rotation and scale.

    Source: Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", eq. for linear CKA.
    """
    x_ND, y_NE = (np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (x_ND, y_NE))
    shared = np.linalg.norm(y_NE.T @ x_ND) ** 2
    own = np.linalg.norm(x_ND.T @ x_ND) * np.linalg.norm(y_NE.T @ y_NE)
    return float(shared / own) if own > 0 else 0.0
