"""A model of histories from its options, sizes that do not fit refused."""

from dataclasses import asdict

from tasks.in_context_rl.model import HistoryConfig, HistoryModel
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.rows import room_of
from trainers.contract import StoredDataset
from trainers.errors import UserError

_DEPTH_WEIGHTS = {"ad": "0:1", "compressed_ad": "0:1,1:2,2:3,3:4"}


def build_model(options: HistoryModelOptions, data: StoredDataset) -> HistoryModel:
    """An untrained model for the room of the dataset.

    Raises:
        UserError: heads that do not fit the width, a window without room, or depths that cannot be read.
    """
    head_size, rest = divmod(options.hidden_size, options.num_attention_heads)
    if rest or head_size % 2:
        raise UserError(
            f"--hidden_size {options.hidden_size} with --num_attention_heads {options.num_attention_heads} gives heads"
            f" of size {options.hidden_size / options.num_attention_heads:g}; rotary positions need a whole even size"
        )
    if options.keep >= options.window:
        raise UserError(
            f"--keep {options.keep} must be smaller than --window {options.window}: some steps must leave it"
        )
    weights = options.depth_weights
    weights = _DEPTH_WEIGHTS[options.architecture] if weights is None else weights
    sizes = {**asdict(options), "depth_weights": weights, "size": room_of(data).size}
    config = HistoryConfig(**sizes)
    try:
        depth_D, _ = config.depths()
    except ValueError as error:
        raise UserError(
            f"--depth_weights {weights!r} cannot be read; write different depths from 0 on, each with a"
            " weight above 0, e.g. 0:1,1:2,2:3,3:4"
        ) from error
    if options.architecture == "ad" and depth_D.tolist() != [0]:
        raise UserError(
            f"--depth_weights {weights} is for --architecture compressed_ad: what leaves the window of ad"
            " changes nothing; leave it out"
        )
    return HistoryModel(config)
