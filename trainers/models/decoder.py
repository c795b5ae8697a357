"""Decoder models from a handful of sizes, or from a trained folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainers.errors import UserError
from trainers.options import option

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class DecoderOptions:
    """Sizes of a decoder-only transformer; every name is the one of the Hugging Face config."""

    model_type: Literal["qwen2", "llama"] = option("qwen2", "architecture, as transformers calls it")
    hidden_size: int = option(64, "width of the residual stream", least=1)
    num_hidden_layers: int = option(4, "number of blocks", least=1, most=1000)
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size", least=1)
    intermediate_size: int = option(256, "width inside the MLP", least=1)
    tie_word_embeddings: bool = option(False, "use one matrix for input and output embeddings")
    init_scale: float = option(0.02, "standard deviation of the initial Linear and Embedding weights", least=0)


def build_decoder(
    options: DecoderOptions, vocab_size: int, max_length: int, special_ids: Mapping[str, int]
) -> "PreTrainedModel":
    """Return an untrained causal language model.

    Arguments:
        options: sizes and initialisation.
        vocab_size: rows of the embedding.
        max_length: positions the model must serve, in tokens.
        special_ids: `pad_token_id`, `bos_token_id`, `eos_token_id`.

    Raises:
        UserError: a number of heads that does not fit the width, or a model that does not fit into memory.
    """
    from transformers import AutoConfig

    from trainers.models.causal_lm import CAUSAL_LMS

    head_size, rest = divmod(options.hidden_size, options.num_attention_heads)
    if rest or head_size % 2:
        raise UserError(
            f"--hidden_size {options.hidden_size} with --num_attention_heads {options.num_attention_heads}"
            f" gives heads of size {options.hidden_size / options.num_attention_heads:g}; rotary positions"
            " need a whole even size"
        )
    config = AutoConfig.for_model(
        options.model_type,
        vocab_size=vocab_size,
        hidden_size=options.hidden_size,
        num_hidden_layers=options.num_hidden_layers,
        num_attention_heads=options.num_attention_heads,
        num_key_value_heads=options.num_attention_heads,
        intermediate_size=options.intermediate_size,
        max_position_embeddings=max_length,
        tie_word_embeddings=options.tie_word_embeddings,
        initializer_range=options.init_scale,
        **special_ids,
    )
    try:
        model = CAUSAL_LMS[options.model_type](config)
    except RuntimeError as error:  # PyTorch's kind for memory that cannot be had
        raise UserError(f"--hidden_size {options.hidden_size} and the other sizes ask for too much: {error}") from error
    initialise(model, options.init_scale)
    return model


def initialise(model: "PreTrainedModel", init_scale: float) -> None:
    """Draw every Linear and Embedding weight from Normal(0, init_scale) and set Linear biases to 0."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, init_scale)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
