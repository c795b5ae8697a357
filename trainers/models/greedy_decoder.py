"""Greedy decoding of Qwen2 and Llama models with little between the matrix products.

`generate` of transformers reads the common beginnings of prompts for each of them and spends much of its time on tiny
operations. Here prompts that begin alike are one row until they part, what all begin with is kept once, projections
that share an input are one matrix with the norm before them folded in, keys and values have preallocated memory, and
the last block computes the last position only. The tokens are the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from trainers.models.fused_blocks import FusedBlock, apply_rotary, attend, fuse_block, rms_norm, rotary_table

_CHECK_EVERY = 8  # tokens between two checks for rows that have ended, where a check is a device sync
_WORTH_A_PASS = 4  # rows must be this many times as many before prompts that part are read in a pass of their own
_SHORT = 64  # tokens up to which all heads of a row as one product are faster than one a head
_VECTOR = 16  # numbers: a CPU's softmax over fewer takes six times as long


@dataclass(frozen=True)
class _Memory:
    """Keys and values of the tokens read; E is the width of the stream.

    Attributes:
        n_common: C, number of the first tokens.
        common: (blocks, 2, heads * C, E), of the first tokens, which are the same in all rows; each head has its own
            numbers, and zeros where those of the others are. C is 0 where rows can get long.
        own: (blocks, 2, B, capacity, heads, D), of those behind. In memory a short row has its heads side by side, a
            long one has them one after another.
    """

    n_common: int
    common: torch.Tensor
    own: torch.Tensor

    def of_rows(self, row_R: torch.Tensor, n_read: int) -> "_Memory":
        """Return the memory of some of the rows, of which `n_read` tokens were read."""
        blocks, two, _, capacity, *head = self.own.shape
        own, filled = _empty(self.own, (blocks, two, len(row_R)), capacity, *head), n_read - self.n_common
        own[:, :, :, :filled] = self.own[:, :, :, :filled].index_select(2, row_R)
        return _Memory(self.n_common, self.common, own)


class GreedyDecoder:
    """A model's weights as they are now, laid out for decoding."""

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config
        inner: Any = model.model
        self.eps, self.head_size = config.rms_norm_eps, inner.layers[0].self_attn.head_dim
        self.embedding = inner.embed_tokens.weight.detach()
        self.blocks = [fuse_block(layer) for layer in inner.layers]
        head: Any = model.get_output_embeddings()
        self.head = head.weight * inner.norm.weight
        self.inverse_frequency = inner.rotary_emb.inv_freq
        heads = torch.eye(config.num_attention_heads, device=self.head.device, dtype=self.head.dtype)
        self.own_numbers = heads.repeat_interleave(self.head_size, dim=1)  # (heads, E): 1 where they are a head's

    @torch.no_grad()
    def decode(self, ids_BP: torch.Tensor, max_new_tokens: int, eos_id: int, pad_id: int) -> torch.Tensor:
        """Return the tokens that follow prompts of one length, (B, max_new_tokens), `pad_id` behind `eos_id`.

        Args:
            ids_BP: The prompts, int64, without padding; on the CPU, so that nothing waits for the device. Neighbours
                that begin alike are read once.
        """
        device, (batch, start) = self.head.device, ids_BP.shape
        turn = rotary_table(self.inverse_frequency, start + max_new_tokens)
        logits_BV, memory = self._read(ids_BP, max_new_tokens, turn)
        tokens_BN = torch.full((batch, max_new_tokens), pad_id, dtype=torch.int64, device=device)
        row_B, done_B = torch.arange(batch, device=device), torch.zeros(batch, dtype=torch.bool, device=device)
        check_every = 1 if device.type == "cpu" else _CHECK_EVERY
        for number in range(max_new_tokens):
            token_B = logits_BV.argmax(dim=-1).masked_fill(done_B, pad_id)
            tokens_BN[row_B, number] = token_B
            if number == max_new_tokens - 1:
                break
            done_B = done_B | (token_B == eos_id)
            if (number + 1) % check_every == 0:
                n_left = len(done_B) - int(done_B.sum())
                if n_left == 0:
                    break
                n_ended, steps = len(done_B) - n_left, max_new_tokens - 1 - number
                if n_ended * steps >= len(done_B):  # go on without the rows that have ended
                    left_R = (~done_B).nonzero()[:, 0]
                    memory = memory.of_rows(left_R, start + number)
                    token_B, row_B, done_B = token_B[left_R], row_B[left_R], done_B[left_R]
            logits_BV = self._logits(token_B[:, None], start + number, memory, turn)
        return tokens_BN

    def _read(self, ids_BP: torch.Tensor, room: int, turn: torch.Tensor) -> tuple[torch.Tensor, _Memory]:
        """Return logits behind the prompts, and their memory with room for more tokens."""
        blocks, capacity = len(self.blocks), ids_BP.shape[1] + room
        own = _empty(self.head, (blocks, 2, 1), capacity, len(self.own_numbers), self.head_size)
        memory = _Memory(0, self.head.new_empty(blocks, 2, 0, self.head.shape[1]), own)
        parent_B, logits = torch.zeros(len(ids_BP), dtype=torch.int64), self.head
        for start, stop, run_B in _passes(ids_BP):
            first_R = torch.cat([torch.ones(1, dtype=torch.bool), run_B[1:] != run_B[:-1]])
            memory, parent_B = memory.of_rows(parent_B[first_R].to(self.head.device), start), run_B
            logits = self._logits(ids_BP[first_R, start:stop].to(self.head.device), start, memory, turn)
            if start == 0 and len(logits) == 1 and stop < ids_BP.shape[1] and capacity <= _SHORT:
                common = memory.own[:, :, :, :stop].flatten(4) * self.own_numbers[:, None]  # (blocks, 2, heads, C, E)
                memory = _Memory(stop, common.flatten(2, 3), memory.own[:, :, :, stop:])
        return logits, memory

    def _logits(self, ids_BL: torch.Tensor, start: int, memory: _Memory, turn: torch.Tensor) -> torch.Tensor:
        """Return logits (B, V) behind the last of L tokens at `start`, whose keys and values are remembered."""
        length, n_common = ids_BL.shape[1], memory.n_common
        stop = start + length
        seen, new = stop - n_common, slice(start - n_common, stop - n_common)
        later = torch.full((length, max(seen, _VECTOR)), -torch.inf, dtype=self.head.dtype, device=self.head.device)
        later = later.triu(start - n_common + 1).repeat_interleave(len(self.own_numbers), dim=0)
        turn, hidden = turn[:, start:stop, None, None], self.embedding[ids_BL]
        for number, block in enumerate(self.blocks):
            projected = F.linear(rms_norm(hidden, self.eps), block.query_key_value, block.query_key_value_bias)
            projected = projected.unflatten(-1, (3, -1, self.head_size))
            query, key = apply_rotary(projected[:, :, :2], turn).unbind(2)
            keys, values = memory.own[number, :, :, :seen]
            keys[:, new], values[:, new] = key, projected[:, :, 2]
            if number == len(self.blocks) - 1:
                hidden, query, later = hidden[:, -1:], query[:, -1:], later[-len(self.own_numbers) :]
            if memory.own.shape[3] > _SHORT:
                mixed = attend(query.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)).transpose(1, 2)
            else:
                mixed = self._attend(query, memory.common[number], keys, values, later)
            hidden = self._mlp(hidden + F.linear(mixed.flatten(2), block.output), block)
        return F.linear(rms_norm(hidden, self.eps)[:, -1], self.head)

    def _attend(
        self, query: torch.Tensor, common: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, later: torch.Tensor
    ) -> torch.Tensor:
        """Attend from (B, L, heads, D) to the common tokens and to a short row's own, (B, S, heads, D).

        The heads of a row are one product, in which each has zeros where the others have their numbers: more to
        compute than one product a head, but in half of the time.

        Args:
            common: Keys and values (2, heads * C, E).
            later: (L * heads, at least S), added to what a position makes of its own tokens: minus infinity where it
                may not see them.
        """
        heads, seen, query_BLE = query.shape[2], keys.shape[1], query.flatten(2) * self.head_size**-0.5
        wide = (query_BLE[:, :, None] * self.own_numbers).flatten(1, 2)
        own = torch.baddbmm(later[:, :seen], wide, keys.flatten(2).transpose(1, 2))
        shared = F.linear(query_BLE, common[0]).unflatten(-1, (heads, -1)).flatten(1, 2)
        nothing = later[:, seen:].expand(len(own), -1, -1)
        weight = torch.cat([own, shared, nothing], dim=-1).softmax(dim=-1)
        own, shared = weight[..., :seen], weight[..., seen : seen + shared.shape[-1]]
        mixed = (own @ values.flatten(2)).unflatten(1, (-1, heads)).unflatten(-1, (heads, -1))
        mixed = mixed.diagonal(dim1=2, dim2=3).transpose(2, 3).flatten(2)
        return mixed.add_(shared.unflatten(1, (-1, heads)).flatten(2) @ common[1])

    def _mlp(self, hidden: torch.Tensor, block: FusedBlock) -> torch.Tensor:
        """Add the second half of a block to the stream, as `fused_blocks.mlp` but in place."""
        inputs = rms_norm(hidden, self.eps)
        gated = F.silu(F.linear(inputs, block.gate), inplace=True).mul_(F.linear(inputs, block.up))
        return hidden.add_(F.linear(gated, block.down))


def _empty(like: torch.Tensor, rows: tuple[int, ...], capacity: int, heads: int, head_size: int) -> torch.Tensor:
    """Return memory (*rows, capacity, heads, head_size) with the numbers of a token, or of a head, side by side."""
    if capacity <= _SHORT:
        return like.new_empty(*rows, capacity, heads, head_size)
    return like.new_empty(*rows, heads, capacity, head_size).transpose(-3, -2)


def _passes(ids_BP: torch.Tensor) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield the passes that read prompts: first position, position behind the last, run of each row (B,) from 0 on.

    Rows of a run are neighbours that are the same up to the end of the pass; the last pass reads every row.
    """
    batch, prompt = ids_BP.shape
    parts_BP = torch.zeros(batch, prompt + 1, dtype=torch.bool)  # whether the row is another one up to this position
    parts_BP[1:, 1:] = (ids_BP[1:] != ids_BP[:-1]).cumsum(dim=1) > 0
    n_runs = (parts_BP.sum(dim=0) + 1).tolist()
    ends = [prompt]
    count = batch
    for end in range(prompt - 1, 0, -1):
        if n_runs[end] * _WORTH_A_PASS <= count:
            count = n_runs[end]
            ends.insert(0, end)
    for start, end in zip([0, *ends], ends, strict=False):
        yield start, end, parts_BP[:, end].cumsum(dim=0) if end < prompt else torch.arange(batch)
