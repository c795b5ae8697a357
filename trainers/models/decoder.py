"""Options and construction of a decoder-only model for text tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainers.errors import UserError
from trainers.options import option

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class DecoderOptions:
    """Sizes of a decoder-only transformer; names are those of the Hugging Face config."""

    model_type: str = option(
        "qwen2", "architecture, as transformers calls it: a causal decoder such as qwen2, llama, gpt2 or mamba"
    )
    hidden_size: int = option(64, "width of the residual stream", least=1)
    num_hidden_layers: int = option(4, "number of blocks", least=1, most=1000)
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size", least=1)
    intermediate_size: int = option(256, "width inside the MLP", least=1)
    tie_word_embeddings: bool = option(False, "use one matrix for input and output embeddings")
    init_scale: float = option(0.02, "standard deviation of the initial Linear and Embedding weights", least=0)


def build_decoder(
    options: DecoderOptions, vocab_size: int, max_length: int, special_ids: Mapping[str, int]
) -> "PreTrainedModel":
    """Return an untrained causal language model: one of our classes where there is one, else transformers' own.

    Args:
        max_length: Positions of the model, in tokens.
        special_ids: `pad_token_id`, `bos_token_id`, `eos_token_id`.

    Raises:
        UserError: the number of heads does not fit the width, the model does not fit into memory, or there is no such
            decoder.
    """
    from transformers import AutoConfig

    from trainers.models.blocks import check_heads, init_weights
    from trainers.models.causal_lm import CAUSAL_LMS
    from trainers.models.other_decoders import build_other

    sizes = {name: value for name, value in vars(options).items() if name not in ("model_type", "init_scale")}
    sizes |= {"vocab_size": vocab_size, "max_position_embeddings": max_length}
    sizes |= {"initializer_range": options.init_scale, **special_ids}
    if options.model_type not in CAUSAL_LMS:
        return build_other(options.model_type, sizes)
    check_heads(options)
    config = AutoConfig.for_model(options.model_type, num_key_value_heads=options.num_attention_heads, **sizes)
    try:
        model = CAUSAL_LMS[options.model_type](config)
    except RuntimeError as error:  # PyTorch's error for a lack of memory
        raise UserError(f"--hidden_size {options.hidden_size} and the other sizes ask for too much: {error}") from error
    for module in model.modules():
        init_weights(module, options.init_scale)
    return model
