"""Options of the dataset of `arc` and of its models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainers.options import MAX_SEED, option


def solutions_beside(path: Path) -> list[Path]:
    """Return the file with the test outputs of one of Kaggle's `…_challenges.json`."""
    stem = path.name.removesuffix("_challenges.json")
    return [path.with_name(f"{stem}_solutions.json")] if stem != path.name else []


@dataclass
class ArcOptions:
    """Sources of tasks, number of pairs, and augmentation."""

    train_source: str = option(
        "generated",
        "generated, rules, arcagi/train, arcagi/eval, arcagi2/train, arcagi2/eval, or a folder or file of JSON; several"
        " with commas between",
        is_path=solutions_beside,
    )
    unseen_source: str = option(
        "generated", "source of tasks that are only evaluated; none: no such tasks", is_path=solutions_beside
    )
    pairs_per_task: int = option(400, "different pairs per generated task", least=4, most=100_000)
    n_rules: int = option(300, "rules of the source rules, each put together of three parts", least=1, most=1000)
    pairs_per_rule: int = option(20, "different pairs per rule, all of them to train on", least=3, most=10_000)
    n_val: int = option(20, "held-out pairs per training task, evaluated during training", least=0)
    n_test: int = option(40, "held-out pairs per task (of an unseen one all), evaluated at the end", least=0)
    max_side: int = option(30, "largest side of a grid; larger pairs of other sources are left out", least=10, most=30)
    n_context: int = option(2, "demonstration pairs per input (of a task with fewer, all)", least=1, most=16)
    min_context: int | None = option(
        None,
        "fewest demonstrations: training inputs get from so many to --n_context, tasks with fewer are left out"
        " (default: --n_context)",
        least=1,
        most=16,
    )
    same_context: bool = option(
        False, "give all inputs of a task its first demonstrations, as the first experiments did, not a draw each"
    )
    context_seed: int = option(
        0, "seed of the draws alone: another one draws other demonstrations for the same inputs", least=0, most=MAX_SEED
    )
    resample_context: bool = option(False, "draw new demonstrations for every training batch")
    augment_dihedral: bool = option(False, "turn and mirror every training example at random")
    augment_colours: bool = option(False, "exchange the nine colours of every training example at random")
    dataset_seed: int = option(307, "seed of the generators and of the splits", least=0, most=MAX_SEED)


def fewest_context(options: Mapping[str, Any]) -> int:
    """Return the fewest demonstrations of an input by the options of a dataset; those of older ones name none."""
    fewest = options.get("min_context")
    return options["n_context"] if fewest is None else fewest


@dataclass
class ArcModelOptions:
    """Steps of the ladder and sizes of a `tasks.arc.model.ArcModel`; its config has the same fields."""

    architecture: Literal["decoder_only", "encoder_decoder"] = option(
        "encoder_decoder", "one sequence or encoded input"
    )
    positions: Literal["1d", "2d"] = option("2d", "along the sequence, or rows and columns")
    colours: Literal["table", "equivariant"] = option(
        "equivariant", "colour vectors, or labels that exchanged colours exchange"
    )
    bridge: Literal["none", "prompt", "concat_mlp", "cross_attention"] = option(
        "cross_attention", "how demonstrations reach the decoder (prompt: before the input, decoder_only)"
    )
    hidden_size: int = option(128, "width of the residual stream", least=4)
    num_encoder_layers: int = option(2, "blocks over the input grid (encoder_decoder)", least=1, most=1000)
    num_hidden_layers: int = option(2, "blocks of the decoder", least=1, most=1000)
    num_context_layers: int = option(1, "blocks over demonstrations (concat_mlp, cross_attention)", least=1, most=1000)
    num_attention_heads: int = option(4, "attention heads, of a size divisible by 4 (2d) or 2 (1d)", least=1)
    intermediate_size: int = option(344, "width inside the MLP", least=1)
    dropout: float = option(0.0, "dropout on embeddings and on what a block adds", least=0, most=0.99)
    init_scale: float = option(0.02, "standard deviation of the initial weights", least=0)
