"""Start from a trained model (`--init_from`), and freeze parameters (`--freeze`)."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.utils import logging

from trainers.errors import UserError
from trainers.models.other_decoders import size_of


def load_model(
    folder: str, fresh: PreTrainedModel, options: Any, typed: Collection[str], flag: str = "init_from"
) -> PreTrainedModel:
    """Return the trained model in `folder`, which must have the architecture of `fresh`.

    Args:
        flag: What `folder` was given by, for errors.
        options: The model options, of which those that are `typed` on the command line must fit the trained model.

    Raises:
        UserError: no model there, a damaged one, or one of another architecture, vocabulary or typed size.
    """
    path = Path(os.path.expanduser(folder))
    config = _read_config(path, flag)
    for name in ("model_type", "vocab_size", "max_position_embeddings"):
        wanted, value = getattr(fresh.config, name, None), config.get(fresh.config.attribute_map.get(name, name))
        is_longer = name == "max_position_embeddings" and isinstance(value, int) and value >= (wanted or 0)
        if wanted is not None and value != wanted and not is_longer:
            raise UserError(
                f"--{flag} {folder} has {name} {value}, this task needs {wanted}; start from a model"
                " of the same family and vocabulary"
            )
    model = load_weights(type(fresh), path, flag)
    wrong = [
        f"{name} {asked} (the model has {size_of(model.config, name)})"
        for name, asked in sorted(vars(options).items())
        if name in typed and size_of(model.config, name) not in (None, asked)
    ]
    if wrong:
        raise UserError(f"--{flag} {folder} disagrees with --{', --'.join(wrong)}; leave these out")
    return model


def load_weights(kind: Any, path: Path, flag: str) -> Any:
    """Return the trained model in a folder, by the `from_pretrained` of a class; every weight of it is in the file.

    Args:
        flag: What the folder was given by, for errors.

    Raises:
        UserError: no model there, or a damaged one.
    """
    _read_config(path, flag)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # of weights that do not fit it prints a table; here they are an error
    try:
        loaded: Any = kind.from_pretrained(path, output_loading_info=True, ignore_mismatched_sizes=True)
    except Exception as error:  # a damaged folder raises many kinds; all mean the same to the user
        raise UserError(f"--{flag} {path} cannot be loaded: {str(error)[:200]}; give another folder") from error
    finally:
        logging.set_verbosity(verbosity)
    model, report = loaded
    if unfit := len(report["missing_keys"]) + len(report["mismatched_keys"]):
        raise UserError(
            f"--{flag} {path} holds weights that do not fit its config.json ({unfit} are missing or of another"
            " size); give another folder"
        )
    return model


def freeze(model: PreTrainedModel, parts: str) -> None:
    """Freeze every parameter whose dotted name contains one of the comma-separated `parts`.

    A part begins and ends at a dot or at an end of the name: `layers.1` is block 1, not block 10.

    Raises:
        UserError: a part that is in no name, or nothing left to train.
    """
    named = list(model.named_parameters())
    for part in parts.split(","):
        matching = [parameter for name, parameter in named if f".{part}." in f".{name}."]
        if not matching:
            raise UserError(
                f"--freeze {part!r} is in no weight's name; the weights are: {', '.join(n for n, _ in named)}"
            )
        for parameter in matching:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for _, parameter in named):
        raise UserError(f"--freeze {parts} leaves no weight to train; name fewer")


def _read_config(path: Path, flag: str) -> dict[str, Any]:
    try:
        return dict(json.loads((path / "config.json").read_text(encoding="utf-8")).items())
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise UserError(
            f"--{flag} {path} holds no trained model (no readable config.json); give a run's folder or"
            " one of its checkpoints"
        ) from error
