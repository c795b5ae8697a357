"""Decoder models from a handful of sizes, or from a trained folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trainers.errors import UserError
from trainers.options import Range, option

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class DecoderOptions:
    """Sizes of a decoder-only transformer; every name is the one of the Hugging Face config."""

    model_type: Literal["qwen2", "llama"] = option("qwen2", "architecture, as transformers calls it")
    hidden_size: int = option(64, "width of the residual stream")
    num_hidden_layers: int = option(4, "number of blocks")
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size")
    intermediate_size: int = option(256, "width inside the MLP")
    tie_word_embeddings: bool = option(False, "use one matrix for input and output embeddings")
    init_scale: float = option(0.02, "standard deviation of the initial Linear and Embedding weights")

    RANGES: ClassVar[Mapping[str, Range]] = {
        "hidden_size": (1, None),
        "num_hidden_layers": (1, 1000),
        "num_attention_heads": (1, None),
        "intermediate_size": (1, None),
        "init_scale": (0, None),
    }


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

    from trainers.causal_lm import CAUSAL_LMS

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


def load_model(folder: str, fresh: "PreTrainedModel") -> "PreTrainedModel":
    """Return the trained model in `folder`, which must have the architecture of `fresh`.

    Raises:
        UserError: no model there, a damaged one, or one of another architecture or vocabulary.
    """
    from transformers.utils import logging

    path = Path(os.path.expanduser(folder))
    config = _read_config(path)
    for name in ("model_type", "vocab_size", "max_position_embeddings"):
        wanted, found = getattr(fresh.config, name, None), config.get(name)
        too_small = name == "max_position_embeddings" and isinstance(found, int) and found >= (wanted or 0)
        if wanted is not None and found != wanted and not too_small:
            raise UserError(
                f"--init_from {folder} has {name} {found}, this task needs {wanted}; start from a model"
                " of the same family and vocabulary"
            )
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # of weights that do not fit it prints a table; here they are an error
    try:
        loaded: Any = type(fresh).from_pretrained(path, output_loading_info=True, ignore_mismatched_sizes=True)
    except Exception as error:  # a damaged folder raises many kinds; all mean the same to the user
        raise UserError(f"--init_from {folder} cannot be loaded: {str(error)[:200]}; give another folder") from error
    finally:
        logging.set_verbosity(verbosity)
    model, report = loaded
    if unfit := len(report["missing_keys"]) + len(report["mismatched_keys"]):
        raise UserError(
            f"--init_from {folder} holds weights that do not fit its config.json ({unfit} are missing or of another"
            " size); give another folder"
        )
    return model


def freeze(model: "PreTrainedModel", parts: str) -> None:
    """Leave the weights as they are whose names contain one of the comma-separated `parts`, counted by whole words.

    `layers.1` is block 1 and not block 10 as well: a part must begin and end at a dot or at the name's end.

    Raises:
        UserError: a part that is in no name, or nothing left to train.
    """
    named = list(model.named_parameters())
    for part in parts.split(","):
        found = [parameter for name, parameter in named if f".{part}." in f".{name}."]
        if not found:
            raise UserError(
                f"--freeze {part!r} is in no weight's name; the weights are: {', '.join(n for n, _ in named)}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for _, parameter in named):
        raise UserError(f"--freeze {parts} leaves no weight to train; name fewer")


def size_mismatches(model: "PreTrainedModel", options: Any, given: set[str]) -> list[str]:
    """Which of the model flags that were typed disagree with the loaded model's config."""
    return [
        f"{name} {getattr(options, name)} (the model has {getattr(model.config, name)})"
        for name in sorted(given)
        if hasattr(model.config, name) and getattr(model.config, name) != getattr(options, name)
    ]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((path / "config.json").read_text(encoding="utf-8")).items())
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise UserError(
            f"--init_from {path} holds no trained model (no readable config.json); give a run's folder or"
            " one of its checkpoints"
        ) from error
