"""Greedy decoding of Qwen2 and Llama models with nothing between the matrix products.

`generate` of transformers reads the common beginning of prompts for each of them and spends much of its time on tiny
operations. Here it is read once, projections that share an input are one matrix with the norm before them folded in,
keys and values have preallocated memory, and the last block computes the last position only. The tokens are the same.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from trainers.models.fused_blocks import apply_rotary, attend, fuse_block, mlp, rms_norm, rotary_table

_CHECK_EVERY = 8  # tokens between two checks for rows that have ended, where a check is a device sync


class GreedyDecoder:
    """A model's weights as they are now, laid out for decoding."""

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config
        inner: Any = model.model
        self.n_heads, self.eps = config.num_attention_heads, config.rms_norm_eps
        self.head_size = inner.layers[0].self_attn.head_dim
        self.embedding = inner.embed_tokens.weight.detach()
        self.blocks = [fuse_block(layer) for layer in inner.layers]
        head: Any = model.get_output_embeddings()
        self.head = head.weight * inner.norm.weight
        self.inverse_frequency = inner.rotary_emb.inv_freq

    @torch.no_grad()
    def decode(self, ids_BP: torch.Tensor, max_new_tokens: int, eos_id: int, pad_id: int) -> torch.Tensor:
        """Return the tokens that follow prompts of one length, (B, max_new_tokens), `pad_id` behind `eos_id`.

        Args:
            ids_BP: The prompts, int64, without padding.
        """
        batch, prompt = ids_BP.shape
        end = prompt + max_new_tokens
        cache = self.embedding.new_empty(len(self.blocks), 2, batch, self.n_heads, end, self.head_size)
        turn = rotary_table(self.inverse_frequency, end)
        tokens_BN = torch.full((batch, max_new_tokens), pad_id, dtype=torch.int64, device=ids_BP.device)
        # The common beginning of prompts (`<bos>loc(c_`) is read once; the last token is left for the loop.
        start = int((ids_BP[:, :-1] == ids_BP[:1, :-1]).all(dim=0).int().cumprod(dim=0).sum())
        if start:
            self._logits(ids_BP[:1, :start], 0, cache[:, :, :1], turn)
            cache[:, :, 1:, :, :start] = cache[:, :, :1, :, :start]
        check_every = 1 if ids_BP.device.type == "cpu" else _CHECK_EVERY
        seen, row_B = ids_BP[:, start:], torch.arange(batch, device=ids_BP.device)
        done_B = torch.zeros(batch, dtype=torch.bool, device=ids_BP.device)
        for number in range(max_new_tokens):
            token_B = self._logits(seen, start, cache, turn).argmax(dim=-1).masked_fill(done_B, pad_id)
            tokens_BN[row_B, number] = token_B
            done_B = done_B | (token_B == eos_id)
            start, seen = start + seen.shape[1], token_B[:, None]
            if (number + 1) % check_every:
                continue
            n_left = len(done_B) - int(done_B.sum())
            if n_left == 0:
                break
            if n_left <= len(done_B) // 2:  # go on without the rows that have ended
                left = ~done_B
                cache, seen, row_B, done_B = cache[:, :, left], seen[left], row_B[left], done_B[left]
        return tokens_BN

    def _logits(self, ids_BL: torch.Tensor, start: int, cache: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Return logits (B, V) behind the last of L tokens at `start`, whose keys and values go into the cache."""
        hidden = self.embedding[ids_BL]
        stop = start + ids_BL.shape[1]
        turn = turn[:, start:stop, None]
        for number, block in enumerate(self.blocks):
            projected = F.linear(rms_norm(hidden, self.eps), block.query_key_value, block.query_key_value_bias)
            projected = projected.unflatten(-1, (-1, self.head_size))
            query_key = apply_rotary(projected[:, :, : 2 * self.n_heads], turn).transpose(1, 2)
            query = query_key[:, : self.n_heads]
            keys, values = cache[number]
            keys[:, :, start:stop] = query_key[:, self.n_heads :]
            values[:, :, start:stop] = projected[:, :, 2 * self.n_heads :].transpose(1, 2)
            if number == len(self.blocks) - 1:
                hidden, query = hidden[:, -1:], query[:, :, -1:]
            mixed = attend(query, keys[:, :, :stop], values[:, :, :stop])
            hidden = hidden + F.linear(mixed.transpose(1, 2).flatten(2), block.output)
            hidden = hidden + mlp(hidden, block, self.eps)
        return F.linear(rms_norm(hidden, self.eps)[:, -1], self.head)
