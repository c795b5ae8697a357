"""Blocks of Qwen2 and Llama as few matrices, for a training pass and for decoding without tiny operations between them.

Projections that share an input are one matrix, and the weight of the RMSNorm before them is folded into it, so that the
norm itself only scales. All of it is differentiable: trained are the model's own weights.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Block:
    """Weights of one block, (out, in), with the norm before them folded in; E is the width of the stream.

    Attributes:
        query_key_value: (3E, E), its bias (3E,) or None. output: (E, E). gate_up: (2F, E). down: (E, F).
    """

    query_key_value: torch.Tensor
    query_key_value_bias: torch.Tensor | None
    output: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


def is_supported(config: "PreTrainedConfig") -> bool:
    """Whether every part of a model of this config is known here."""
    found: Any = config
    rope = getattr(found, "rope_parameters", None) or {}
    return (
        found.model_type in ("qwen2", "llama")
        and found.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not getattr(found, "use_sliding_window", False)
        and not getattr(found, "mlp_bias", False)
        and not getattr(found, "attention_bias", False)  # it would give the output projection one too
        and not getattr(found, "attention_dropout", 0)
        and found.num_key_value_heads == found.num_attention_heads
    )


def folded(layer: Any) -> Block:
    """A decoder layer of transformers as few matrices."""
    attention, mlp = layer.self_attn, layer.mlp
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
    return Block(
        torch.cat([part.weight for part in parts]) * layer.input_layernorm.weight,
        None if attention.q_proj.bias is None else torch.cat([part.bias for part in parts]),
        attention.o_proj.weight,
        gate_up * layer.post_attention_layernorm.weight,
        mlp.down_proj.weight,
    )


def normed(hidden: torch.Tensor, eps: float) -> torch.Tensor:
    """RMSNorm without its weight, which the next matrix holds (Zhang & Sennrich 2019)."""
    return hidden * torch.rsqrt(hidden.pow(2).mean(dim=-1, keepdim=True) + eps)


def turns(inverse_frequency: torch.Tensor, length: int) -> torch.Tensor:
    """Cosine and sine of rotary positions 0…length-1, (2, length, D / 2) for heads of size D (Su et al. 2021)."""
    position = torch.arange(length, device=inverse_frequency.device).float()
    angle = torch.outer(position, inverse_frequency.float())
    return torch.stack([angle.cos(), angle.sin()])


def turned(x_D: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary positions applied to (…, D): number i is turned together with number i + D / 2.

    Arguments:
        turn: cosine and sine, (2, …, D / 2), of shapes that fit those of `x_D`.
    """
    cosine, sine = turn.to(x_D.dtype)
    low, high = x_D.chunk(2, dim=-1)
    return torch.cat([low * cosine - high * sine, high * cosine + low * sine], dim=-1)
