"""Build any causal decoder of transformers by sizes: names are mapped, and what cannot work is refused."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from trainers.errors import UserError, suggest

_NEEDED = ("vocab_size", "hidden_size", "num_hidden_layers")
_ALSO_CALLED = {"intermediate_size": ("n_inner", "ffn_dim"), "initializer_range": ("init_std",)}
"""Size -> what configs call it without saying so in their `attribute_map`."""
_WELL_KNOWN = "qwen2, llama, gpt2, mamba, gpt_neox, mistral, gemma2, phi3 or olmo2"


def build_other(model_type: str, sizes: Mapping[str, Any]) -> PreTrainedModel:
    """Return an untrained causal decoder of transformers; what is no size has the defaults of its config.

    Args:
        model_type: As transformers calls it.
        sizes: Names of Llama's config -> values; those that a config does not have are left out.

    Raises:
        UserError: there is no such decoder, or it cannot be built, run or generate with these sizes.
    """
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if model_type not in known:
        raise UserError(
            f"--model_type {model_type} is no causal decoder of transformers; give {_WELL_KNOWN}, for example."
            f"{suggest(model_type, known)}"
        )
    try:
        model = AutoModelForCausalLM.from_config(_config(model_type, sizes))
        _try_out(model, int(sizes["max_position_embeddings"]))
    except Exception as error:  # every architecture refuses in its own way
        reason = str(error).strip().split("\n")[-1].strip()[:200]
        raise UserError(
            f"--model_type {model_type} cannot be built by the sizes given ({reason}); give other sizes, or"
            f" {_WELL_KNOWN}, for example"
        ) from error
    return model


def size_of(config: PreTrainedConfig, name: str) -> Any:
    """Return a size in a model's config, whatever the config calls it; None if it has none."""
    values = (getattr(config, own, None) for own in (name, *_ALSO_CALLED.get(name, ())))
    return next((value for value in values if value is not None), None)


def idle_sizes(config: PreTrainedConfig, options: Any) -> list[str]:
    """Return the names of the sizes among the options of a text model that its architecture does not have."""
    asked = {**vars(options), "initializer_range": options.init_scale}
    names = ("num_attention_heads", "intermediate_size", "tie_word_embeddings", "initializer_range")
    return [name.replace("initializer_range", "init_scale") for name in names if size_of(config, name) != asked[name]]


def _config(model_type: str, sizes: Mapping[str, Any]) -> PreTrainedConfig:
    """Return the config that has these sizes, under its own names for them."""
    kind = CONFIG_MAPPING[model_type]
    fields = {item.name for item in dataclasses.fields(kind)}
    wanted = {
        **sizes,
        "num_key_value_heads": sizes["num_attention_heads"],
        "head_dim": sizes["hidden_size"] // sizes["num_attention_heads"],
        "is_decoder": True,  # BERT and its like are encoders otherwise
        "expand": sizes["intermediate_size"] // sizes["hidden_size"] or 1,  # Mamba's, of which it makes the size
    }
    values = {}
    for name, value in wanted.items():
        names = (kind.attribute_map.get(name, name), *_ALSO_CALLED.get(name, ()))
        values |= {own: value for own in names if own in fields}
    config = kind(**values)
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError("it is an encoder with a decoder")
    if lacking := [name for name in _NEEDED if getattr(config, name, None) != sizes[name]]:
        raise ValueError(f"its config takes no {' and no '.join(lacking)}")
    return config


@torch.no_grad()
def _try_out(model: PreTrainedModel, length: int) -> None:
    """Read rows as long as they get, and generate: what fails or looks ahead would do so in the training.

    Raises:
        ValueError: a token changes what is predicted before it, as padding on the right then would.
    """
    was_training, half = model.training, length // 2
    model.eval()
    ids_BT = 3 + torch.arange(length).repeat(2, 1) % (model.config.vocab_size - 3)
    ids_BT[1, half:] = model.config.pad_token_id
    logits_BTV = model(input_ids=ids_BT).logits[:, :half]
    if not torch.allclose(logits_BTV[0], logits_BTV[1], rtol=1e-4, atol=1e-5):
        raise ValueError("it is not causal: tokens change what is predicted before them")
    model.generate(ids_BT[:1, :2], attention_mask=torch.ones(1, 2).long(), max_new_tokens=2, do_sample=False)  # pyright: ignore
    model.train(was_training)
