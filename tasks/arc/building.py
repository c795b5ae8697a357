"""A model of the ladder from its options, combinations that do not exist refused."""

from dataclasses import asdict

from tasks.arc.model import ArcConfig, ArcModel
from tasks.arc.options import ArcModelOptions
from trainers.contract import StoredDataset
from trainers.errors import UserError


def build_model(options: ArcModelOptions, data: StoredDataset) -> ArcModel:
    """An untrained model.

    Raises:
        UserError: flags that do not go together, or heads that do not fit the width.
    """
    heads = 4 if options.positions == "2d" else 2
    if options.hidden_size % (options.num_attention_heads * heads):
        raise UserError(
            f"--hidden_size {options.hidden_size} with --num_attention_heads {options.num_attention_heads} gives heads"
            f" of size {options.hidden_size / options.num_attention_heads:g}; positions {options.positions} need a"
            f" multiple of {heads}"
        )
    if options.architecture == "decoder_only":
        wrong = [
            f"--{name} {getattr(options, name)}"
            for name, allowed in (("positions", ["1d"]), ("colours", ["table"]), ("bridge", ["none", "prompt"]))
            if getattr(options, name) not in allowed
        ]
        if wrong:
            raise UserError(
                f"--architecture decoder_only does not go with {' and '.join(wrong)}: it has --positions 1d,"
                " --colours table and --bridge none or prompt"
            )
    elif options.bridge == "prompt":
        raise UserError("--bridge prompt is for --architecture decoder_only; choose concat_mlp or cross_attention")
    return ArcModel(ArcConfig(**asdict(options)))
