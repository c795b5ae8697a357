"""Greedy decoding of Qwen2 and Llama models with nothing between the matrix products.

`generate` of transformers reads the same beginning of every prompt anew and spends much of its time on tiny operations.
Here what all prompts begin with is read once, projections that share an input are one matrix with the norm before them
folded in, keys and values lie in memory that is there from the start, and in the last block only the last position is
computed. The tokens are the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHECK_EVERY = 8  # tokens between two looks at whether all rows have ended, where looking means waiting for a GPU


@dataclass(frozen=True)
class _Block:
    """Weights of one block: (out, in) matrices with the norm before them folded in, biases or None."""

    query_key_value: torch.Tensor
    query_key_value_bias: torch.Tensor | None
    output: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


def is_supported(model: "PreTrainedModel") -> bool:
    """Whether `LeanDecoder` knows every part of this model."""
    config: Any = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in ("qwen2", "llama")
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not getattr(config, "use_sliding_window", False)
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "attention_bias", False)  # it would give the output projection one too
        and config.num_key_value_heads == config.num_attention_heads
    )


class LeanDecoder:
    """A model's weights as they are now, laid out for decoding."""

    def __init__(self, model: "PreTrainedModel") -> None:
        config: Any = model.config
        inner: Any = model.model
        self.n_heads, self.eps = config.num_attention_heads, config.rms_norm_eps
        self.head_size = inner.layers[0].self_attn.head_dim
        self.embedding = inner.embed_tokens.weight.detach()
        self.blocks = [self._block(layer) for layer in inner.layers]
        head: Any = model.get_output_embeddings()
        self.head = (head.weight * inner.norm.weight).detach()
        self.frequency = inner.rotary_emb.inv_freq.float()

    def _block(self, layer: Any) -> _Block:
        attention, mlp = layer.self_attn, layer.mlp
        # Rotary positions turn number i of a head together with i + half of it; side by side they are complex numbers.
        half = torch.arange(self.head_size // 2)
        order = torch.stack([half, half + self.head_size // 2], dim=1).flatten()
        rows = (torch.arange(self.n_heads)[:, None] * self.head_size + order).flatten().to(self.embedding.device)
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        orders = (rows, rows, slice(None))
        weight = torch.cat([part.weight[order] for part, order in zip(parts, orders, strict=True)])
        has_bias = attention.q_proj.bias is not None
        bias = torch.cat([part.bias[order] for part, order in zip(parts, orders, strict=True)]) if has_bias else None
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        return _Block(
            (weight * layer.input_layernorm.weight).detach(),
            None if bias is None else bias.detach(),
            attention.o_proj.weight.detach(),
            (gate_up * layer.post_attention_layernorm.weight).detach(),
            mlp.down_proj.weight.detach(),
        )

    @torch.no_grad()
    def decode(self, ids_BP: torch.Tensor, max_new_tokens: int, eos_id: int, pad_id: int) -> torch.Tensor:
        """The tokens that follow prompts of one length, (B, max_new_tokens), `pad_id` behind `eos_id`.

        Arguments:
            ids_BP: the prompts, int64, without padding.
        """
        batch, prompt = ids_BP.shape
        end = prompt + max_new_tokens
        cache = self.embedding.new_empty(len(self.blocks), 2, batch, self.n_heads, end, self.head_size)
        angle = torch.outer(torch.arange(end, device=ids_BP.device).float(), self.frequency)
        turn = torch.polar(torch.ones_like(angle), angle)
        found = torch.full((batch, max_new_tokens), pad_id, dtype=torch.int64, device=ids_BP.device)
        done_B = torch.zeros(batch, dtype=torch.bool, device=ids_BP.device)
        check_every = 1 if ids_BP.device.type == "cpu" else _CHECK_EVERY
        # What all prompts begin with (`<bos>loc(c_`) is read once; the last token is left for the loop.
        start = int((ids_BP[:, :-1] == ids_BP[:1, :-1]).all(dim=0).int().cumprod(dim=0).sum())
        if start:
            self._logits(ids_BP[:1, :start], 0, cache[:, :, :1], turn)
            cache[:, :, 1:, :, :start] = cache[:, :, :1, :, :start]
        seen = ids_BP[:, start:]
        for number in range(max_new_tokens):
            token_B = self._logits(seen, start, cache, turn).argmax(dim=-1).masked_fill(done_B, pad_id)
            found[:, number] = token_B
            done_B = done_B | (token_B == eos_id)
            if (number + 1) % check_every == 0 and bool(done_B.all()):
                break
            start, seen = start + seen.shape[1], token_B[:, None]
        return found

    def _logits(self, ids_BL: torch.Tensor, start: int, cache: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Logits (B, V) behind the last of L tokens that stand at `start`; the cache is filled up to them."""
        hidden = self.embedding[ids_BL]
        stop = start + ids_BL.shape[1]
        before = torch.ones(ids_BL.shape[1], stop, dtype=torch.bool, device=ids_BL.device).tril(start)
        for number, block in enumerate(self.blocks):
            projected = F.linear(self._normed(hidden), block.query_key_value, block.query_key_value_bias)
            query, key, value = projected.unflatten(-1, (3, self.n_heads, self.head_size)).permute(2, 0, 3, 1, 4)
            keys, values = cache[number]
            keys[:, :, start:stop], values[:, :, start:stop] = _turned(key, turn[start:stop]), value
            if number == len(self.blocks) - 1:
                hidden, query = hidden[:, -1:], query[:, :, -1:]
            query = _turned(query, turn[stop - query.shape[2] : stop])
            mask = None if query.shape[2] == 1 else before
            mixed = F.scaled_dot_product_attention(query, keys[:, :, :stop], values[:, :, :stop], attn_mask=mask)
            hidden = hidden + F.linear(mixed.transpose(1, 2).flatten(2), block.output)
            gate, up = F.linear(self._normed(hidden), block.gate_up).chunk(2, dim=-1)
            hidden = hidden + F.linear(F.silu(gate) * up, block.down)
        return F.linear(self._normed(hidden)[:, -1], self.head)

    def _normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """RMSNorm without its weight, which the next matrix holds."""
        return hidden * torch.rsqrt(hidden.pow(2).mean(dim=-1, keepdim=True) + self.eps)


def _turned(x_BHLD: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary positions: pairs of neighbours as complex numbers, times (L, D / 2) of length 1."""
    pairs = torch.view_as_complex(x_BHLD.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2).to(x_BHLD.dtype)
