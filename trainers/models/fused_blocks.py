"""Blocks of Qwen2 and Llama as few matrices, for training and decoding.

Query, key and value are one matrix, and the weight of an RMSNorm is folded into the matrices behind it, so that the
norm itself only scales. All of it is differentiable with respect to the model's own weights.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from trainers.models.autocast import in_float32

_SHORT = 128  # positions up to which plain products are faster on a CPU than the fused kernel (2.5 times at 22)


@dataclass(frozen=True)
class FusedBlock:
    """Weights of one block, (out, in), with the norm before them folded in; E is the width of the stream.

    Attributes:
        query_key_value: (3E, E), its bias (3E,) or None. output: (E, E). gate, up: (F, E). down: (E, F).
    """

    query_key_value: torch.Tensor
    query_key_value_bias: torch.Tensor | None
    output: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


def is_supported(model: PreTrainedModel) -> bool:
    """Return whether the fast passes know every part of this model, and `--stock_forward` is off.

    A launcher that shards weights (FSDP) replaces the layers by other classes and gathers weights only there.
    """
    config: Any = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        not getattr(model, "stock_forward", False)
        and config.model_type in ("qwen2", "llama")
        and type(cast(Any, model).model.layers[0]).__name__ in ("Qwen2DecoderLayer", "LlamaDecoderLayer")
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not getattr(config, "use_sliding_window", False)
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "attention_bias", False)  # it would give the output projection one too
        and not getattr(config, "attention_dropout", 0)
        and config.num_key_value_heads == config.num_attention_heads
    )


def fuse_block(layer: Any) -> FusedBlock:
    """Return the weights of a decoder layer of transformers as few matrices."""
    attention, mlp = layer.self_attn, layer.mlp
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    return FusedBlock(
        torch.cat([part.weight for part in parts]) * layer.input_layernorm.weight,
        None if attention.q_proj.bias is None else torch.cat([part.bias for part in parts]),
        attention.o_proj.weight,
        mlp.gate_proj.weight * layer.post_attention_layernorm.weight,
        mlp.up_proj.weight * layer.post_attention_layernorm.weight,
        mlp.down_proj.weight,
    )


def rms_norm(hidden: torch.Tensor, eps: float) -> torch.Tensor:
    """Apply RMSNorm without its weight, which the next matrix holds (Zhang & Sennrich 2019)."""
    return hidden * torch.rsqrt(hidden.pow(2).mean(dim=-1, keepdim=True) + eps)


def rotary_table(inverse_frequency: torch.Tensor, length: int) -> torch.Tensor:
    """Cosine and signed sine of rotary positions 0…length-1, (2, length, D) for heads of size D (Su et al. 2021)."""
    position = torch.arange(length, device=inverse_frequency.device).float()
    angle = torch.outer(position, inverse_frequency.float())
    return torch.stack([angle.cos().repeat(1, 2), torch.cat([-angle.sin(), angle.sin()], dim=1)])


def apply_rotary(x_D: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotate (…, D), number i together with number i + D / 2, by `turn`: cosine and signed sine, (2, …, D)."""
    cosine, sine = turn.to(x_D.dtype)
    return torch.addcmul(x_D * cosine, x_D.roll(x_D.shape[-1] // 2, dims=-1), sine)


@in_float32
def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend causally from the last L of M positions: (B, heads, L, D), 2 x (B, heads, M, D) -> (B, heads, L, D)."""
    (batch, _, length, _), seen = query.shape, keys.shape[2]
    if query.device.type != "cpu" or seen > _SHORT:
        before = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril(seen - length)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=before)
    query, keys, values = (x.flatten(0, 1) for x in (query * query.shape[-1] ** -0.5, keys, values))
    later = torch.full((length, seen), -torch.inf, dtype=query.dtype).triu(seen - length + 1)
    mixed = torch.baddbmm(later, query, keys.transpose(1, 2)).softmax(dim=-1) @ values
    return mixed.unflatten(0, (batch, -1))


def mlp(hidden: torch.Tensor, block: FusedBlock, eps: float) -> torch.Tensor:
    """Apply the second half of a block, without its residual: SwiGLU (Shazeer 2020)."""
    inputs = rms_norm(hidden, eps)  # gate and up as one matrix would be slower in training: its gradient is copied
    return F.linear(F.silu(F.linear(inputs, block.gate)) * F.linear(inputs, block.up), block.down)
